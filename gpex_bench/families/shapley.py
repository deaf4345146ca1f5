"""The game whose Shapley values explainers estimate: the players are regions or columns."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.families.masking import Masking
from gpex_bench.masking.answers import Probe, groups, probe
from gpex_bench.masking.choices import Output, check_settings
from gpex_bench.masking.fills import MethodFill
from gpex_bench.masking.regions import Regions, Segmentation, regions
from gpex_bench.types import Attribution, Axiom, Query, Task, settings


@settings
class ShapleyValues(Masking):
    """Shapley values of a game whose absent players are filled; subclasses estimate them."""

    kind = "perturbation"
    budget: int = 1000  # forward rows per sample, at most
    segmentation: Segmentation = "slic"  # images only
    n_segments: int = 50  # segments aimed at; images only
    fill: MethodFill = "baseline"
    output: Output = "logit"

    def __post_init__(self) -> None:
        """Refuse unknown settings."""
        check_settings(self, budget=2, n_segments=8)

    @property
    def axioms(self) -> frozenset[Axiom]:  # type: ignore[override]
        """Completeness, for the change of the logit from the dataset's baseline."""
        is_of_logit = self.output == "logit" and self.fill == "baseline"
        return frozenset({Axiom.COMPLETENESS}) if is_of_logit else frozenset()

    @abstractmethod
    def estimate(
        self, asked: Probe, cut: Regions, generators: list[Any]
    ) -> Float[Tensor, "sample region"]:
        """Return the values of the regions of each sample; those that it lacks get 0.

        Args:
            asked: answers masks of all samples.
            cut: the regions.
            generators: one torch.Generator per sample.
        """

    def explain(self, task: Task, query: Query) -> Attribution:
        """Explain a bounded number of samples at a time; a region's entries share its value."""
        values = []
        for part in groups(query, self.budget):
            cut = regions(part.x, self.segmentation, self.n_segments, groups=task.data.groups)
            asked = probe(task, part, self.fill, self.output, cut)
            generators = [task.generator(sample) for sample in part.sample.tolist()]
            estimate = self.estimate(asked, cut, generators)
            values.append(cut.spread(estimate, part.x))
        return Attribution(values=torch.cat(values))

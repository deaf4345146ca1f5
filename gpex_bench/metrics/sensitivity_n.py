"""Sensitivity-n: does the relevance of n features sum to the effect of their removal?

Source: ancona2018towards. For each n, Pearson's correlation over random subsets of n features
between the summed attribution and the fall of the target's logit when the subset becomes the
baseline; the score is the mean over n = 10, 25 and 50 % of the cells (the paper plots it against n
from 1 to 80 %, with 100 subsets, the class score, and zeros). Features are square cells of images;
cells at the border may be smaller, so that relevance and fall are taken per position. The default
of 24 subsets is cheap: `config/sets/thorough.yaml` has settings to publish. A method that keeps
sensitivity-n for all n sums to every change of the output, which only a linear network allows.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.similarity import pearson
from gpex_bench.measurements.subsets import Subsets
from gpex_bench.types import Case, Metric, settings


@settings
class SensitivityN(Metric):
    """Correlation between removed relevance and fall of the logit, mean over sizes.

    0 for a constant map.

    Attributes:
        shares: sizes of the subsets as parts of the cells, each in (0, 1).
        n_subsets: random subsets per sample and size.
        patch: side of a cell of an image, pixels.
    """

    title = "sensitivity-n"
    reference = "ancona2018towards"
    measures = "faithfulness"
    higher_is_better = True
    range = (-1.0, 1.0)
    chance = 0.0
    cost = (
        "`n_subsets` + 1 forward rows per sample and size, the 25 % shared with `infidelity` "
        "and `faithfulness_correlation`"
    )

    shares: tuple[float, ...] = (0.1, 0.25, 0.5)
    n_subsets: int = 24
    patch: int = 4

    def measurements(self) -> tuple:
        """Return the removals of each size."""
        return tuple(
            Subsets(n_subsets=self.n_subsets, share=share, patch=self.patch)
            for share in self.shares
        )

    def __post_init__(self) -> None:
        if not self.measurements():  # they check the settings
            raise ValueError("shares must name at least one size, got none.")

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the mean correlation of each sample."""
        effects = [case.read(subsets) for subsets in self.measurements()]
        correlations = [pearson(*effect.by_position) for effect in effects]
        return torch.stack(correlations).mean(0)

"""Removes the most relevant positions, and as many random ones: which moves the network more?"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gpex_bench.masking.fills import CURVE_FILLS, CurveFill, filler
from gpex_bench.masking.order import ties_broken
from gpex_bench.measurements.answers import answers
from gpex_bench.measurements.maps import relevance
from gpex_bench.measurements.subsets import count_of, draw
from gpex_bench.types import Case, Measurement, demands, settings, value

# Random numbers that are in memory together.
TOGETHER = 4_000_000


@value
class Contest:
    """The network's outputs for the explanation's positions (first) and for each random choice."""

    without: Float[Tensor, "output batch choice"]  # the chosen positions are gone
    alone: Float[Tensor, "output batch choice"]  # all other positions are gone


@settings
class Rivals(Measurement):
    """Outputs without the chosen positions and with those alone.

    2 * (n_rivals + 1) forward rows per sample.

    Attributes:
        n_rivals: random choices of as many positions.
        share: of the positions that are chosen, in (0, 1).
        fill: what is shown in place of what is gone.
    """

    n_rivals: int = 12
    share: float = 0.2
    fill: CurveFill = "baseline"

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "n_rivals")
        if not 0 < self.share < 1:
            raise ValueError(f"share must lie between 0 and 1, both excluded, got {self.share}.")
        demands.one_of(self, fill=CURVE_FILLS)

    def measure(self, case: Case) -> Contest:
        """Return the outputs; raises ValueError for another kind of explanation."""
        by_position = relevance(case)
        sample = case.query.sample
        n_positions = by_position.shape[1]
        n_chosen = count_of(self.share, n_positions)
        own = ties_broken(by_position, sample) < n_chosen
        chosen = torch.cat([own[:, None], self._random(case, n_positions).to(own.device)], 1)
        fill = filler(case, self.fill)

        # The first half of a sample's inputs lacks the choices, the second half shows them alone.
        n_choices = chosen.shape[1]

        def changed(image: Tensor, number: Tensor) -> Tensor:
            is_chosen = chosen[image, number % n_choices]
            is_alone = (number >= n_choices)[:, None]
            return fill(image, is_chosen ^ is_alone)

        outputs = answers(case, 2 * n_choices, changed)
        without, alone = outputs.chunk(2, dim=2)
        return Contest(without=without, alone=alone)

    def _random(self, case: Case, n_positions: int) -> Bool[Tensor, "batch rival position"]:
        """Return random choices of positions, those of all explanations of a sample."""
        n_together = max(1, TOGETHER // (self.n_rivals * n_positions))
        parts = [
            draw(case.task.seed, part, n_positions, n_subsets=self.n_rivals, share=self.share)
            for part in case.query.sample.split(n_together)
        ]
        return torch.cat(parts)

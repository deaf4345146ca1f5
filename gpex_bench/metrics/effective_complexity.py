"""Effective complexity: how few of the most relevant positions keep the network's output?

Source: nguyen2020quantitative. The smallest share k of the positions, most relevant first, such
that the output falls by at most `tolerance` when the others are gone. Read from the removal curve
of the least relevant first, whose points are the shares that can be found (28 steps). Deviations:
positions are ordered by their signed relevance, what is gone becomes the dataset's baseline (the
paper takes the expected loss over random replacements), and the tolerance is a part of the whole
fall, f(x) - f(baseline), so that it means the same for every network. 0 if nothing must be kept.
Quantus has another measure under this name: see `relevant_positions`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.curves import ScaledCurveMetric
from gpex_bench.types import Removal, settings


@settings
class EffectiveComplexity(ScaledCurveMetric):
    """Smallest share of the most relevant positions that keeps the probability.

    Attributes:
        tolerance: part of the whole fall that may be lost, in (0, 1).
    """

    title = "effective complexity"
    reference = "nguyen2020quantitative"
    measures = "faithfulness"
    higher_is_better = False
    of_probability = (0.0, 1.0)
    of_logit = (0.0, 1.0)
    chance = None
    caveat = (
        "Where the network does not fall when everything is gone, nothing must be kept, and every "
        "map scores 0."
    )
    cost = "none of its own, reads the removal curve of pixels"

    tolerance: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance must lie between 0 and 1, got {self.tolerance}.")

    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return the share of each sample."""
        curve = removal.least_first.double()
        fall = curve[:, :1] - curve
        allowed = self.tolerance * fall[:, -1:].clamp(min=0)

        # The largest share that can be gone; at the start nothing has fallen.
        gone = removal.fraction.to(curve)
        is_enough = fall <= allowed
        largest = torch.where(is_enough, gone, 0.0).amax(1)
        return 1 - largest

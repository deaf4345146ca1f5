"""Sufficiency: how far the probability falls when only the most relevant few per cent are kept.

Source: deyoung2020eraser. Mean over q = 1, 5, 10, 20, 50 % of f(x) - f(only the top q). Read from
the removal curve of the least relevant pixels, at 1 - q, linearly between its points; what is not
kept becomes the dataset's baseline. Not the metric of that name in Quantus, which asks how often
inputs with near maps get the same prediction.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.order import read_at
from gpex_bench.measurements.curves import ERASED_SHARES, ScaledCurveMetric
from gpex_bench.types import Removal, settings


@settings
class Sufficiency(ScaledCurveMetric):
    """Fall of the probability when only the most relevant positions are kept (mean, 1 to 50 %)."""

    title = "sufficiency"
    reference = "deyoung2020eraser"
    measures = "faithfulness"
    higher_is_better = False
    of_probability = (-1.0, 1.0)
    chance = None
    cost = "none of its own, reads the removal curve of pixels"

    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return the mean fall of each sample."""
        shares = tuple(1 - share for share in ERASED_SHARES)
        kept = read_at(removal.least_first, removal.fraction, shares)
        return removal.least_first[:, 0].double() - kept.mean(1)

"""Comprehensiveness: how far the probability falls without the most relevant few per cent.

Source: deyoung2020eraser. Mean over q = 1, 5, 10, 20, 50 % of f(x) - f(x without the top q). Read
from the removal curve of pixels, linearly between its points (every 1/28 of the pixels; a table's
columns go one by one). What is removed becomes the dataset's baseline, since an input of fixed size
cannot lose a token.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.order import read_at
from gpex_bench.measurements.curves import ERASED_SHARES, ScaledCurveMetric
from gpex_bench.types import Removal, settings


@settings
class Comprehensiveness(ScaledCurveMetric):
    """Fall of the probability without the most relevant positions, mean over 1 to 50 % of them."""

    title = "comprehensiveness"
    reference = "deyoung2020eraser"
    measures = "faithfulness"
    higher_is_better = True
    of_probability = (-1.0, 1.0)
    chance = None
    cost = "none of its own, reads the removal curve of pixels"

    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return the mean fall of each sample."""
        without = read_at(removal.most_first, removal.fraction, ERASED_SHARES)
        return removal.most_first[:, 0].double() - without.mean(1)

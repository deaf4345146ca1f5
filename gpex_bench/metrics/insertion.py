"""Insertion: how fast the target's probability rises when the most relevant pixels are shown first.

petsiuk2018rise reveals pixels in descending order on an empty canvas. Read backwards, this is the
removal of the least relevant first (LeRF): an input that shows the top k on the canvas is one that
lacks the n - k least relevant. So with one and the same fill insertion and LeRF are one curve with
one area, which `srg` needs too. RISE starts from a blurred image; our canvas is the dataset's
baseline, and the variant under the fill `blur` is RISE's.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.order import area
from gpex_bench.measurements.curves import ScaledCurveMetric
from gpex_bench.types import Removal, settings


@settings
class Insertion(ScaledCurveMetric):
    """Area under the probability while the least relevant positions are replaced first."""

    title = "insertion"
    reference = "petsiuk2018rise"
    measures = "faithfulness"
    higher_is_better = True
    of_probability = (0.0, 1.0)
    chance = None
    cost = "none of its own, reads the removal curve of pixels"

    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return the area of each sample."""
        return area(removal.least_first, removal.fraction)

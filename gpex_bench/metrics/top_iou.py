"""Top-K IoU: overlap of the K most relevant positions with the planted evidence, over their union.

K is the number of evidence positions (as in arras2022clevr), so that IoU = r / (2 - r) with the
rank accuracy r: the same ranking of methods for each sample, on the scale that detection papers
use. Ties at the border count through r; a constant map scores what r of a random one gives. Taken
over whole pixels, with sign.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.planted import TruthMetric, top_inside
from gpex_bench.types import settings


@settings
class TopIoU(TruthMetric):
    """Intersection over union of the most relevant positions and the evidence."""

    title = "top-K IoU"
    reference = "arras2022clevr"
    chance = None  # depends on the share of the input that the evidence covers
    cost = "none"

    def compare(self, values: Tensor, inside: Tensor) -> Float[Tensor, "batch"]:
        """Return the overlap of each sample."""
        share = top_inside(values, inside)
        return share / (2 - share)

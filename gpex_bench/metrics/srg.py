"""Symmetric relevance gain: insertion minus deletion, both from one ordering.

Source: bluecher2024decoupling. The area of a random order cancels, so a random map scores 0 in
expectation for every network and baseline. The paper removes superpixels with several imputers;
here single pixels are replaced by the dataset's baseline.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.order import area
from gpex_bench.measurements.curves import ScaledCurveMetric
from gpex_bench.types import Removal, settings


@settings
class SRG(ScaledCurveMetric):
    """Area between the two removal curves."""

    title = "symmetric relevance gain"
    reference = "bluecher2024decoupling"
    measures = "faithfulness"
    higher_is_better = True
    of_probability = (-1.0, 1.0)
    chance = 0.0
    cost = "none of its own, reads the removal curve of pixels"

    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return the area between the curves of each sample."""
        insertion = area(removal.least_first, removal.fraction)
        deletion = area(removal.most_first, removal.fraction)
        return insertion - deletion

"""Deletion: how fast the target's probability falls when the most relevant pixels go first.

Area under the curve of bach2015pixel and samek2017evaluating, over the share of removed positions
(petsiuk2018rise). The area includes both ends and lies in [0, 1]. It depends on the baseline, and a
saturated softmax hides differences between good maps: read it together with `insertion`, `srg` and
the controls.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.order import area
from gpex_bench.measurements.curves import ScaledCurveMetric
from gpex_bench.types import Removal, settings


@settings
class Deletion(ScaledCurveMetric):
    """Area under the probability while the most relevant positions are replaced first."""

    title = "deletion"
    reference = "petsiuk2018rise"
    measures = "faithfulness"
    higher_is_better = False
    of_probability = (0.0, 1.0)
    chance = None
    cost = (
        "none of its own, reads the removal curve of pixels (56 forward rows per sample, "
        "shared by all that read it)"
    )

    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return the area of each sample."""
        return area(removal.most_first, removal.fraction)

"""ROAD in both orders: half the gap in probability between the two removals.

Mean over p = 10, 20, ... 90 % of (f(x without the least relevant p) - f(x without the most relevant
p)) / 2, painted over as in rong2022consistent. The combination is that of the pytorch-grad-cam
library (gildenblat2021pytorch), with the target's probability. A random order cancels, as in `srg`.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.curves import CurveMetric
from gpex_bench.types import Need, Removal, settings


@settings
class RoadCombined(CurveMetric):
    """Half the gap in probability between both orders of painting over."""

    title = "ROAD in both orders"
    reference = "gildenblat2021pytorch"
    measures = "faithfulness"
    higher_is_better = True
    range = (-0.5, 0.5)
    chance = 0.0
    needs = frozenset({Need.IMAGE, Need.PROBABILITY})
    fill = "inpaint"
    n_steps = 10
    cost = "none of its own, reads the curve of `road`"

    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return the mean over the inner points of each sample."""
        return (removal.least_first - removal.most_first)[:, 1:-1].double().mean(1) / 2

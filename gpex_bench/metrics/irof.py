"""Iterative removal of features: how far the output falls when segments go, most relevant first.

Source: rieger2020irof. IROF = 1 - area under f(x_k) / f(x), where x_k lacks the k SLIC segments of
the largest mean relevance and f is the target's probability. Deviations: the area is over the share
of segments that are gone, by the trapezoid rule, so the score is at most 1 (Quantus sums unit
steps, and gives about the number of segments times as much); 16 steps of equal shares; segments
become the mean training input, entry by entry. Columns of tables are segments of their own.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.order import area
from gpex_bench.measurements.curves import CurveMetric
from gpex_bench.types import Need, Removal, settings


@settings
class IROF(CurveMetric):
    """Area over the relative probability while the most relevant segments are replaced first."""

    title = "iterative removal of features"
    reference = "rieger2020irof"
    measures = "faithfulness"
    higher_is_better = True
    range = (float("-inf"), 1.0)
    margin = 0.02  # as if it went from 0 to 1: it is below 0 where the output rises
    chance = None
    unit = "segment"
    fill = "train_mean"
    needs = frozenset({Need.PROBABILITY, Need.TRAINING})
    cost = (
        "none of its own, reads the removal curve of segments under the fill `train_mean` "
        "(32 forward rows)"
    )

    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return the area of each sample; a probability below 1e-12 counts as that much."""
        curve = removal.most_first.double()
        return 1 - area(curve / curve[:, :1].clamp(min=1e-12), removal.fraction)

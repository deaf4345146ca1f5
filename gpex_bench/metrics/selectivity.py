"""Selectivity: the area under the target's logit while the most relevant patches go first.

Source: montavon2018methods. Mean over the curve f(x_0), f(x_1), ... by the trapezoid rule, where
x_k lacks the k patches (4 x 4 pixels, as in the paper on digits) with the largest summed relevance;
columns of tables go one by one; 28 or more patches or columns go in 14 steps. Removed patches
become the dataset's baseline. The order is that of the map of the intact input;
`selectivity_recomputed` explains again after each step. The score is in the units of the logit, so
it can compare maps on one network, but not networks.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.order import area
from gpex_bench.measurements.curves import CurveMetric
from gpex_bench.types import Removal, settings


@settings
class Selectivity(CurveMetric):
    """Area under the logit while the most relevant patches are replaced first."""

    title = "selectivity"
    reference = "montavon2018methods"
    measures = "faithfulness"
    higher_is_better = False
    range = (float("-inf"), float("inf"))
    chance = None
    unit = "patch"
    output = "logit"
    needs = frozenset()  # of a number, the value
    cost = "none of its own, reads the removal curve of patches"

    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return the area of each sample."""
        return area(removal.most_first, removal.fraction)

"""Confidence of the best subset: how sure the network is of the most relevant segments alone.

Segments are taken away from the least relevant on; the score is the largest probability of the
target along that curve. It is what wang2022explaining maximise (the confidence of the kept
superpixels), read for any map: the best of its leading subsets. A network may be surer of a part
than of the whole input, so it is not bounded by f(x). The intact input counts as a subset, and
nothing at all does not: a map that ranks at random keeps at least f(x).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.curves import CurveMetric
from gpex_bench.types import Need, Removal, settings


@settings
class BestSubset(CurveMetric):
    """Largest probability while the least relevant segments are replaced first."""

    title = "confidence of the best subset"
    reference = "wang2022explaining"
    measures = "faithfulness"
    higher_is_better = True
    range = (0.0, 1.0)
    chance = None
    unit = "segment"
    fill = "baseline"
    needs = frozenset({Need.PROBABILITY})
    caveat = "It never falls below the probability of the intact input, however bad the map is."
    cost = "none of its own, reads the removal curve of segments under the fill `baseline`"

    def summarise(self, removal: Removal) -> Float[Tensor, "batch"]:
        """Return the largest probability of each sample, over subsets with at least one segment."""
        some = removal.fraction < 1
        return removal.least_first[:, some].double().amax(1)

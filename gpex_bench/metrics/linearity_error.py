"""Linearity error: is the map of a sum of two outputs the sum of their maps?

Source: sundararajan2017axiomatic. ||a[f + g] - a[f] - a[g]|| / (||a[f]|| + ||a[g]||), where f is
the logit of the target and g that of the other class of `random_logit`; f + g is the logit of a
network whose last layer holds the sums of the rows of weights. 0 if the maps are all zero. A map
that ignores the network scores 0.5: twice the same is not the same. The explainer keeps its seed.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.altered import Altered
from gpex_bench.measurements.maps import values
from gpex_bench.measurements.randomised import OtherTarget
from gpex_bench.types import Case, Metric, Need, settings


@settings
class LinearityError(Metric):
    """Relative difference between the map of a sum and the sum of the maps."""

    title = "linearity error"
    reference = "sundararajan2017axiomatic"
    measures = "axiom"
    higher_is_better = False
    range = (0.0, float("inf"))
    margin = 0.01  # of what the axiom asks for
    resolution = 1e-6
    chance = 0.5  # a random map that does not look at the network is the same three times
    needs = frozenset({Need.OUTPUTS})
    cost = "1 explanation, and 1 shared with `random_logit`"

    def measurements(self) -> tuple[OtherTarget, Altered]:
        """Return the maps of the other class, and of the sum of both."""
        return OtherTarget(), Altered(how="summed")

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the relative difference of each sample."""
        of_other, of_both = self.measurements()
        own_map = values(case.explanation)
        other_map = case.read(of_other).values[:, 0]
        map_of_sum = case.read(of_both).values[:, 0]

        own = own_map.double().flatten(1)
        other = other_map.double().flatten(1)
        both = map_of_sum.double().flatten(1)
        difference = (both - own - other).norm(dim=1)

        size = own.norm(dim=1) + other.norm(dim=1)
        divisor = torch.where(size > 0, size, 1.0)
        return difference / divisor

"""Mean generalisability: is the map the same on a network that was trained again?

Source: fel2022good. 1 / (1 + mean distance) between the map and those of the same sample on the
networks of the other training seeds, where these predict the same class (all of them, if none
does); the distance of two maps is sqrt(1 - |rank correlation|), as in the authors' code, so that 1
is the same map and 0.5 an unrelated one. Deviations: the networks differ in their seed and see the
same training samples, where the paper trains on different folds; the mean is taken for each sample,
so that samples can be compared; a right prediction is not asked for. Random numbers of the method
differ too. A map that ignores the network scores 1 if it is the same for every seed.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.retrained import distances, has_same_target
from gpex_bench.types import Case, Metric, settings


@settings
class MeanGeneralisability(Metric):
    """Closeness of the maps of one sample on networks of several training seeds.

    Attributes:
        absolute: a map and its negation are at distance 0, as published.
    """

    title = "mean generalisability"
    reference = "fel2022good"
    measures = "robustness"
    blind_can_be_perfect = True  # a constant map never changes
    higher_is_better = True
    range = (0.5, 1.0)
    chance = None  # depends on the number of positions
    cost = "none, reads the explanations of the other training seeds"

    absolute: bool = True

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the closeness of each sample."""
        apart = distances(case, self.absolute)
        is_same = has_same_target(case)
        mean = (apart * is_same).sum(1) / is_same.sum(1)
        return 1 / (1 + mean)

"""Model parameter randomisation test, fully random: does a random network have another map?

adebayo2018sanity: Spearman's correlation between the map and that of the network with all layers
re-randomised. Maps keep their sign unless `absolute`. Conventions and degenerate maps as in `mprt`.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import of_draws, relevance
from gpex_bench.measurements.randomised import RandomisedMetric
from gpex_bench.measurements.similarity import likeness
from gpex_bench.types import Case, settings


@settings
class MPRTFull(RandomisedMetric):
    """Rank correlation with the map of the fully random network.

    Attributes:
        absolute: compare the sizes of the relevances.
    """

    title = "model parameter randomisation test, fully random"
    reference = "adebayo2018sanity"
    higher_is_better = False
    range = (-1.0, 1.0)
    chance = 1.0  # a random map that does not look at the network stays the same
    cost = "none beyond `mprt`, whose last stage it reads (n_stages explanations, 2)"

    absolute: bool = False

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the correlation of each sample."""
        last = of_draws(case, self.maps(case)[:, -1:])
        return likeness(relevance(case), last, self.absolute)

"""Model parameter randomisation test, bottom-up: does the map change as the network forgets?

adebayo2018sanity: mean Spearman's correlation between the map and those of networks whose layers
are re-randomised one after the other. Layers go from the input upwards and maps keep their sign;
the paper goes from the output downwards, which keeps the evidence of the early layers in the map by
construction (binder2023shortcomings). `absolute` compares sizes, as the paper's other version: then
maps that are multiplied by the input look alike because of the input. 0 is best; a map that ignores
the network scores 1, and so does a map that is constant before and after (0 if constant only before
or after). The default of 2 stages and one set of random weights is cheap;
`config/sets/thorough.yaml` has settings to publish.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import of_draws, relevance
from gpex_bench.measurements.randomised import RandomisedMetric
from gpex_bench.measurements.similarity import likeness
from gpex_bench.types import Case, settings


@settings
class MPRT(RandomisedMetric):
    """Rank correlation with the maps of ever more random networks, from the input upwards.

    Attributes:
        absolute: compare the sizes of the relevances.
    """

    title = "model parameter randomisation test, bottom-up"
    reference = "adebayo2018sanity"
    higher_is_better = False
    range = (-1.0, 1.0)
    chance = 1.0  # a random map that does not look at the network stays the same
    cost = "n_stages explanations (2), shared with `mprt_full` and `mprt_entropy`"

    absolute: bool = False

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the mean correlation of each sample."""
        others = of_draws(case, self.maps(case))
        return likeness(relevance(case), others, self.absolute)

"""Consistency over explainer seeds: is the order of relevances the same with other random numbers?

Mean Spearman's correlation between the map and those of other seeds, over whole pixels. Visani et
al. ask the same of the features that LIME selects (visani2022statistical); the rank correlation is
ours. An explainer without random numbers scores 1. A constant map has no order: it scores 1 if the
other maps are constant too, else 0.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import of_draws, relevance
from gpex_bench.measurements.randomised import Reseeded
from gpex_bench.measurements.similarity import likeness
from gpex_bench.types import Case, Metric, settings


@settings
class SeedConsistency(Metric):
    """Rank correlation of the maps under two seeds of the explainer.

    Attributes:
        n_draws: other seeds; each costs one more explanation.
    """

    title = "consistency over explainer seeds"
    reference = "visani2022statistical"
    measures = "robustness"
    blind_can_be_perfect = True  # a constant map never changes
    higher_is_better = True
    range = (-1.0, 1.0)
    chance = 0.0
    cost = "n_draws explanations (1)"

    n_draws: int = 1

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def measurements(self) -> tuple[Reseeded]:
        """Return the maps under other seeds."""
        return (Reseeded(n_draws=self.n_draws),)

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the mean correlation of each sample."""
        others = of_draws(case, case.read(self.measurements()[0]).values)
        return likeness(relevance(case), others)

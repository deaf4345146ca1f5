"""Relative consistency (after ReCo): does the class change the map more than training again does?

After fel2022good. The share of the other networks whose map for the same class is nearer to the map
than the map for another class is, on the network itself; ties count one half. A constant map
scores 0.5; a random one is the same for every class and another one for every seed, and scores 0.
ReCo is the best balanced accuracy with which a distance tells
pairs of networks that agree on a sample from pairs that do not, over all samples together. Ours
differs: networks of few seeds disagree on too few samples, so another class of the same network
stands for the disagreement, and each sample has a score. Distances as in `mean_generalisability`,
but with the sign of the correlation: maps for two classes may be each other's negation.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import of_draws, relevance
from gpex_bench.measurements.randomised import OtherTarget
from gpex_bench.measurements.retrained import distance, distances, has_same_target
from gpex_bench.measurements.similarity import spearman
from gpex_bench.types import Case, Metric, Need, settings


@settings
class RelativeConsistency(Metric):
    """Share of the retrained networks whose map is nearer than the map for another class."""

    title = "relative consistency (after ReCo)"
    reference = "fel2022good"
    measures = "randomisation"
    higher_is_better = True
    range = (0.0, 1.0)
    chance = 0.0  # a random map is the same for every class, and not for every seed
    needs = frozenset({Need.OUTPUTS})
    cost = "1 explanation, shared with `random_logit`"

    def measurements(self) -> tuple[OtherTarget]:
        """Return the maps for another class."""
        return (OtherTarget(),)

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the share of each sample."""
        to_networks = distances(case, absolute=False)
        to_class = self._to_other_class(case)[:, None]

        is_nearer = (to_networks < to_class).double()
        is_tie = (to_networks == to_class).double()
        wins = is_nearer + 0.5 * is_tie
        is_same = has_same_target(case)
        return (wins * is_same).sum(1) / is_same.sum(1)

    def _to_other_class(self, case: Case) -> Float[Tensor, "batch"]:
        """Return how far each map is from that for another class."""
        (other_target,) = self.measurements()
        maps = case.read(other_target).values
        other = of_draws(case, maps)[:, 0]
        correlation = spearman(relevance(case), other)
        return distance(correlation, absolute=False)

"""Local Lipschitz estimate: the largest change of a map per change of the input.

Source: alvarezmelis2018robustness. The maximum over neighbours x' of ||a(x') - a(x)|| / ||x' - x||,
Euclidean. Two deviations: a is divided by ||a(x)||, so that units of the map do not count, and the
maximum is taken over random neighbours in an L-infinity ball, where the paper searches it. In units
of 1 / input. A map that ignores x scores 0, and so does one that is zero everywhere.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.noisy import Neighbours, NoisyMetric, relative_changes
from gpex_bench.types import Case, settings


@settings
class LocalLipschitz(NoisyMetric):
    """Largest relative change of the map per change of the input."""

    title = "local Lipschitz estimate"
    reference = "alvarezmelis2018robustness"
    cost = "n_draws explanations (4), shared by all metrics that look at neighbours"

    def change(self, case: Case, before: Tensor, near: Neighbours) -> Float[Tensor, "batch draw"]:
        """Return the relative change of each neighbour over its distance."""
        away = near.x.double() - case.query.x[:, None].double()
        distance = away.flatten(2).norm(dim=2)
        return relative_changes(before, near.values) / distance

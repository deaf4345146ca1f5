"""Relative input stability (RIS): the relative change of a map per relative change of the input.

agarwal2022rethinking: the maximum over neighbours x' of (||a(x') - a(x)|| / ||a(x)||) / (||x' - x||
/ ||x||), Euclidean, as in the authors' code (agarwal2022openxai). The paper's formula divides entry
by entry, so that entries near zero decide alone: of an image on black nearly all of them. Only
neighbours that the network puts into the class of x count; if there is none, all do (ours: the
authors have no value then). A map that ignores x scores 0, and so does one that is zero everywhere.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.noisy import (
    Neighbours,
    NoisyMetric,
    relative_changes,
    relative_stability,
)
from gpex_bench.types import Case, settings


@settings
class RelativeInputStability(NoisyMetric):
    """Largest relative change of the map per relative change of the input."""

    title = "relative input stability (RIS)"
    reference = "agarwal2022rethinking"
    cost = "n_draws explanations (4), shared by all metrics that look at neighbours"

    def change(self, case: Case, before: Tensor, near: Neighbours) -> Float[Tensor, "batch draw"]:
        """Return the quotient for each neighbour."""
        reason = relative_changes(case.query.x, near.x)
        return relative_stability(relative_changes(before, near.values), reason, near)

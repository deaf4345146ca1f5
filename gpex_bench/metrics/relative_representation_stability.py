"""Relative representation stability (RRS): change of a map per change of the embedding.

agarwal2022rethinking: the maximum over neighbours x' of (||a(x') - a(x)|| / ||a(x)||) / (||e(x')
- e(x)|| / ||e(x)||) with the penultimate features e; a map may change where the network's inner
state does. Conventions and degenerate maps as in `relative_input_stability`; the embedding counts
as having changed by at least 1e-5, relatively.
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
class RelativeRepresentationStability(NoisyMetric):
    """Largest relative change of the map per relative change of the embedding."""

    title = "relative representation stability (RRS)"
    reference = "agarwal2022rethinking"
    cost = "n_draws explanations (4), shared by all metrics that look at neighbours"

    def change(self, case: Case, before: Tensor, near: Neighbours) -> Float[Tensor, "batch draw"]:
        """Return the quotient for each neighbour."""
        reason = relative_changes(near.own_embedding, near.embeddings)
        return relative_stability(relative_changes(before, near.values), reason, near)

"""Relative output stability (ROS): the relative change of a map per relative change of the logits.

agarwal2022rethinking: the maximum over neighbours x' of (||a(x') - a(x)|| / ||a(x)||) / (||h(x')
- h(x)|| / ||h(x)||) with the logits h; a map may change where the network does. Conventions and
degenerate maps as in `relative_input_stability`; the logits count as having changed by at least
1e-5, relatively.
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
class RelativeOutputStability(NoisyMetric):
    """Largest relative change of the map per relative change of the logits."""

    title = "relative output stability (ROS)"
    reference = "agarwal2022rethinking"
    cost = "n_draws explanations (4), shared by all metrics that look at neighbours"

    def change(self, case: Case, before: Tensor, near: Neighbours) -> Float[Tensor, "batch draw"]:
        """Return the quotient for each neighbour."""
        reason = relative_changes(near.own_logits, near.logits)
        return relative_stability(relative_changes(before, near.values), reason, near)

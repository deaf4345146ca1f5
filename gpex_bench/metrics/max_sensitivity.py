"""Max-sensitivity: how much a map can change when the input hardly does (yeh2019fidelity).

The largest ||a(x') - a(x)|| / ||a(x)|| over random x' in an L-infinity ball around x, which
estimates the maximum over the ball from below. Dividing by ||a(x)|| is captum's addition
(kokhlikyan2020captum): with it, units do not count. The target stays fixed and the explainer keeps
its seed, so its own randomness does not count. x' may leave the range of the data. A map that
ignores x scores 0, and so does a map that is zero everywhere: stable, not faithful.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.noisy import Neighbours, NoisyMetric, relative_changes
from gpex_bench.types import Case, settings


@settings
class MaxSensitivity(NoisyMetric):
    """Largest relative change of the map under small changes of the input."""

    title = "max-sensitivity"
    reference = "yeh2019fidelity"
    cost = "n_draws explanations (4), shared by all metrics that look at neighbours"

    def change(self, case: Case, before: Tensor, near: Neighbours) -> Float[Tensor, "batch draw"]:
        """Return the relative change of each neighbour."""
        return relative_changes(before, near.values)

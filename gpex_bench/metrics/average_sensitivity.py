"""Average sensitivity: how much a map changes on average when the input hardly does.

Source: bhatt2020evaluating. The mean over x' of ||a(x') - a(x)|| / ||a(x)||, with the neighbours
and the conventions of `max_sensitivity`. A map that ignores x scores 0, and so does a map that is
zero everywhere: stable, not faithful.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.noisy import Neighbours, NoisyMetric, relative_changes
from gpex_bench.types import Case, settings


@settings
class AverageSensitivity(NoisyMetric):
    """Mean relative change of the map under small changes of the input."""

    title = "average sensitivity"
    reference = "bhatt2020evaluating"
    cost = "n_draws explanations (4), shared by all metrics that look at neighbours"

    def change(self, case: Case, before: Tensor, near: Neighbours) -> Float[Tensor, "batch draw"]:
        """Return the mean over the neighbours, as the only column."""
        return relative_changes(before, near.values).mean(1, keepdim=True)

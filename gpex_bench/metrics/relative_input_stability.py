"""Relative input stability (RIS): the relative change of a map per relative change of the input.

agarwal2022rethinking: the maximum over neighbours x' of ||(a(x') - a(x)) / a(x)|| / ||(x' - x) /
x||, the inner divisions entry by entry, Euclidean. Only neighbours that the network puts into the
class of x count; if there is none, all do (ours: the paper has no value then). Entries near zero
would decide alone: an entry is divided by no less than FLOOR of the largest of its row (ours; the
paper adds a fixed small number, whose meaning depends on the units). A map that ignores x scores 0,
and so does one that is zero everywhere.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.noisy import Neighbours, NoisyMetric
from gpex_bench.types import Case, settings

FLOOR = 0.01  # share of the largest entry that each entry is taken to have at least
LEAST = 1e-5  # smallest relative change of what a map follows: rounding of float32


def relative(
    before: Float[Tensor, "batch *feature"], after: Float[Tensor, "batch draw *feature"]
) -> Float[Tensor, "batch draw"]:
    """Return ||(after - before) / before|| with floored divisors; only the numerator if before is all zero."""
    first, others = before.flatten(1).double(), after.flatten(2).double()
    size = torch.maximum(first.abs(), FLOOR * first.abs().amax(1, keepdim=True))
    return ((others - first[:, None]) / torch.where(size > 0, size, 1.0)[:, None]).norm(dim=2)


def stability(
    maps: Float[Tensor, "batch draw"], reason: Float[Tensor, "batch draw"], near: Neighbours
) -> Float[Tensor, "batch draw"]:
    """Return the change of the maps per change of what they follow, 0 for neighbours that do not count.

    What they follow is taken to have changed by LEAST at least.
    """
    return torch.where(near.keeps_class, maps / reason.clamp(min=LEAST), 0.0)


@settings
class RelativeInputStability(NoisyMetric):
    """Largest relative change of the map per relative change of the input."""

    title = "relative input stability (RIS)"
    reference = "agarwal2022rethinking"
    cost = "n_draws explanations (4), shared by all metrics that look at neighbours"

    def change(self, case: Case, before: Tensor, near: Neighbours) -> Float[Tensor, "batch draw"]:
        """Return the quotient for each neighbour."""
        return stability(relative(before, near.values), relative(case.query.x, near.x), near)

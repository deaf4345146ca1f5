"""Efficient MPRT: does the map get more complex when the network is fully random?

Source: hedstroem2023sanity. (H(random) - H(trained)) / H(trained), where H is the entropy of the
histogram of a map's relevances in 100 bins. It needs no measure of similarity, and one random
network. Taken over whole pixels, with sign. The bins are not between the smallest and the largest
relevance, as there, since a single outlier would put all others into one bin: `trim` of the
relevances at either end, at least one, are counted in the outer bins (0 is the definition). A
constant map has entropy 0: it scores 0, whatever comes after, and so does a map that ignores the
network.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import of_draws, relevance
from gpex_bench.measurements.randomised import RandomisedMetric
from gpex_bench.types import Case, settings

N_BINS = 100


def histogram_entropy(
    values: Float[Tensor, "batch position"], trim: float = 0.0
) -> Float[Tensor, "batch"]:
    """Return the entropy in nats of each row's histogram.

    0 for a constant row.

    Args:
        values: rows.
        trim: share of each row at either end that does not decide where the bins are, at least one
            number of five or more; 0 puts the bins between the extremes.
    """
    n_positions = values.shape[1]
    n_left_out = int(trim * n_positions)
    if trim > 0 and n_positions >= 5:
        n_left_out = max(1, n_left_out)
    in_order = values.sort(1).values
    low = in_order[:, n_left_out, None]
    high = in_order[:, n_positions - 1 - n_left_out, None]

    width = torch.where(high > low, high - low, 1.0)
    fraction = ((values - low) / width).clamp(0, 1) * N_BINS
    place = fraction.long().clamp(max=N_BINS - 1)

    count = values.new_zeros(len(values), N_BINS)
    count.scatter_add_(1, place, torch.ones_like(values))
    share = count / values.shape[1]
    return torch.special.entr(share).sum(1)


@settings
class MPRTEntropy(RandomisedMetric):
    """Relative rise of the histogram's entropy on the fully random network.

    Attributes:
        trim: share of the relevances at either end that does not decide where the bins are, in
            [0, 0.25].
    """

    title = "efficient MPRT"
    reference = "hedstroem2023sanity"
    higher_is_better = True
    range = (-1.0, float("inf"))
    chance = 0.0  # a random map that does not look at the network stays the same
    cost = "none beyond `mprt`, whose last stage it reads (n_stages explanations, 2)"

    trim: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.trim <= 0.25:
            raise ValueError(f"trim must be between 0 and 0.25, got {self.trim}.")

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the relative rise of each sample."""
        last = of_draws(case, self.maps(case)[:, -1:])[:, 0]
        before = histogram_entropy(relevance(case), self.trim)
        after = histogram_entropy(last, self.trim)
        rise = (after - before) / torch.where(before > 0, before, 1.0)
        return torch.where(before > 0, rise, 0.0)

"""Efficient MPRT: does the map get more complex when the network is fully random?

Source: hedstroem2023sanity. (H(random) - H(trained)) / H(trained), where H is the entropy of the
histogram of a map's relevances in 100 bins between its smallest and largest one. It needs no
measure of similarity, and one random network. Taken over whole pixels, with sign. A constant map
has entropy 0: it scores 0, whatever comes after, and so does a map that ignores the network.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import of_draws, relevance
from gpex_bench.measurements.randomised import RandomisedMetric
from gpex_bench.types import Case, settings

N_BINS = 100


def histogram_entropy(values: Float[Tensor, "batch position"]) -> Float[Tensor, "batch"]:
    """Return the entropy in nats of each row's histogram between its extremes.

    0 for a constant row.
    """
    low = values.amin(1, keepdim=True)
    high = values.amax(1, keepdim=True)
    width = torch.where(high > low, high - low, 1.0)
    fraction = (values - low) / width * N_BINS
    place = fraction.long().clamp(max=N_BINS - 1)

    count = values.new_zeros(len(values), N_BINS)
    count.scatter_add_(1, place, torch.ones_like(values))
    share = count / values.shape[1]
    return torch.special.entr(share).sum(1)


@settings
class MPRTEntropy(RandomisedMetric):
    """Relative rise of the histogram's entropy on the fully random network."""

    title = "efficient MPRT"
    reference = "hedstroem2023sanity"
    higher_is_better = True
    range = (-1.0, float("inf"))
    chance = 0.0  # a random map that does not look at the network stays the same
    cost = "none beyond `mprt`, whose last stage it reads (n_stages explanations, 2)"

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the relative rise of each sample."""
        last = of_draws(case, self.maps(case)[:, -1:])[:, 0]
        before = histogram_entropy(relevance(case))
        after = histogram_entropy(last)
        rise = (after - before) / torch.where(before > 0, before, 1.0)
        return torch.where(before > 0, rise, 0.0)

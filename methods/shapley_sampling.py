"""Shapley sampling: what a region adds to those before it, averaged over random orders.

Castro, Gomez, Tejada 2009 (castro2009polynomial); orders in antithetic pairs: Mitchell, Cooper,
Frank, Holmes 2022 (mitchell2022sampling). The game is that of `kernel_shap`. Unbiased with any
budget, and the values sum to f(x) - f(all absent) for each order, which is completeness for the
default output and fill. A region's value is spread evenly over its entries.
"""

from typing import Any

import torch
from torch import Tensor

from gpex_bench.families.shapley import ShapleyValues
from gpex_bench.masking.answers import Probe, ask
from gpex_bench.masking.choices import check_budget
from gpex_bench.masking.regions import Regions
from gpex_bench.types import settings


@settings
class ShapleySampling(ShapleyValues):
    """Mean marginal contribution over sampled orders."""

    reference = "castro2009polynomial"
    cost = (
        "2 + n_orders * (regions - 1) forward rows per sample, n_orders being the largest even"
        " number that `budget` pays for"
    )

    def estimate(self, asked: Probe, cut: Regions, generators: list[Any]) -> Tensor:
        """Return the values of each sample's regions [sample, region]."""
        places = [
            orders(self.budget, count, generator)
            for count, generator in zip(cut.count.tolist(), generators, strict=True)
        ]
        answers = ask(asked, cut, [prefixes(place) for place in places])
        nothing = asked.even(0)
        whole = asked.even(1)

        values = []
        for i, (place, y) in enumerate(zip(places, answers, strict=True)):
            values.append(mean_gain(place.to(y.device), y, nothing[i], whole[i]))
        return torch.nn.utils.rnn.pad_sequence(values, batch_first=True)


def orders(budget: int, n: int, generator: torch.Generator) -> Tensor:
    """Return the place of each region in each order [order, region], then in their reverses.

    As many orders as the budget pays for.
    """
    check_budget(budget, 2 * n, f"{n} regions")
    # a single region has one order
    n_pairs = (budget - 2) // (2 * (n - 1)) if n > 1 else 1
    place = torch.rand(n_pairs, n, generator=generator).argsort(1)
    return torch.cat([place, n - 1 - place])


def prefixes(place: Tensor) -> Tensor:
    """Return masks of the first 1, 2, ... n - 1 regions of each order [order * (n - 1), region]."""
    n = place.shape[1]
    return (place[:, None] < torch.arange(1, n)[:, None]).flatten(0, 1)


def mean_gain(place: Tensor, y: Tensor, nothing: Tensor, whole: Tensor) -> Tensor:
    """Return what each region adds on average [region], from the answers to the prefixes."""
    n_orders, n = place.shape
    start = nothing.expand(n_orders, 1)
    end = whole.expand(n_orders, 1)
    path = torch.cat([start, y.view(n_orders, n - 1), end], 1)
    return path.diff(dim=1).gather(1, place).mean(0)

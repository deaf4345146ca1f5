"""Shapley sampling: what a region or column adds to those before it, averaged over random orders and their reverses.

Castro, Gomez, Tejada 2009 (castro2009polynomial); orders in antithetic pairs: Mitchell, Cooper, Frank, Holmes 2022
(mitchell2022sampling). The game is that of `kernel_shap`. Unbiased with any budget, and the values sum to f(x) - f(all
absent) for each order, which is completeness for the default output and fill. A region's value is spread evenly over
its entries. Cost: 2 + n_orders * (regions - 1) forward rows per sample, n_orders being the largest even number that
`budget` pays for.
"""

import torch
from torch import Tensor

from gpex_bench.masking import (
    Fill,
    Output,
    Segmentation,
    ask,
    check_budget,
    check_settings,
    groups,
    probe,
    regions,
)
from gpex_bench.types import Attribution, Axiom, Explainer, Query, Task, settings


@settings
class ShapleySampling(Explainer):
    """Mean marginal contribution over sampled orders."""

    reference = "castro2009polynomial"
    kind = "perturbation"
    axioms = frozenset({Axiom.COMPLETENESS})

    budget: int = 1000  # forward rows per sample, at most
    segmentation: Segmentation = "slic"  # images only
    n_segments: int = 50  # segments aimed at; images only
    fill: Fill = "baseline"
    output: Output = "logit"

    def __post_init__(self) -> None:
        """Refuse unknown settings."""
        check_settings(self, budget=2, n_segments=8)

    def explain(self, task: Task, query: Query) -> Attribution:
        """Explain a bounded number of samples at a time, all of them together."""
        return Attribution(values=torch.cat([self._part(task, part) for part in groups(query, self.budget)]))

    def _part(self, task: Task, query: Query) -> Tensor:
        cut = regions(query.x, self.segmentation, self.n_segments)
        asked = probe(task, query, self.fill, self.output, cut)
        samples = zip(query.sample.tolist(), cut.count.tolist(), strict=True)
        places = [orders(self.budget, count, task.generator(sample)) for sample, count in samples]
        inner = ask(asked, cut, [prefixes(place) for place in places])
        ends = zip(asked.even(0), asked.even(1), strict=True)
        values = [
            mean_gain(place.to(y.device), y, nothing, whole)
            for place, y, (nothing, whole) in zip(places, inner, ends, strict=True)
        ]
        return cut.spread(torch.nn.utils.rnn.pad_sequence(values, batch_first=True), query.x)


def orders(budget: int, n: int, generator: torch.Generator) -> Tensor:
    """Return the place of each region in as many orders as the budget pays for [order, region], then their reverses."""
    check_budget(budget, 2 * n, f"{n} regions")
    n_pairs = (budget - 2) // (2 * max(1, n - 1))
    place = torch.rand(n_pairs, n, generator=generator).argsort(1)
    return torch.cat([place, n - 1 - place])


def prefixes(place: Tensor) -> Tensor:
    """Return the masks of the first 1, 2, ... n - 1 regions of each order [order * (n - 1), region]."""
    n = place.shape[1]
    return (place[:, None] < torch.arange(1, n)[:, None]).flatten(0, 1)


def mean_gain(place: Tensor, y: Tensor, nothing: Tensor, whole: Tensor) -> Tensor:
    """Return what each region adds on average [region], from the answers to the prefixes of each order."""
    n_orders, n = place.shape
    path = torch.cat([nothing.expand(n_orders, 1), y.view(n_orders, n - 1), whole.expand(n_orders, 1)], 1)
    return path.diff(dim=1).gather(1, place).mean(0)

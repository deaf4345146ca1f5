"""Which rows of a split stand for all of it: a stratified draw that no order of the split changes.

Strata are the classes, tenths of a number by size, or sets of labels: those that the split has, or
those that a network predicts. Each row has a place in
[0, 1): in a stratum of m rows, in the random order of the samples' identities, row r is at
(r + u) / m with one u in [0, 1) for each stratum. Rows are drawn by place (systematic sampling), so
that any number of first rows holds each stratum in proportion, and a smaller draw is the beginning
of a larger one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float64, Int, Shaped
from torch import Tensor

from gpex_bench.types.draws import uniform
from gpex_bench.types.values import Kind, Split

N_PARTS = 10  # of a number


def drawn(
    split: Split, kind: Kind, n: int, predicted: Shaped[Tensor, "n *label"] | None = None
) -> Int[Tensor, "row"]:
    """Return n rows of a split in the order of the draw, or all if it has fewer.

    The same identities and strata give the same samples, whatever the order of the split.

    Args:
        split: what is drawn from.
        kind: what its targets are.
        n: how many.
        predicted: what decides the stratum of each row; None: its target.
    """
    strata = _strata(split.y if predicted is None else predicted, split.sample, kind)
    place = _places(strata, split.sample)
    # Equal places are next to impossible, and have the order of the identities.
    by_sample = split.sample.argsort()
    order = place[by_sample].argsort(stable=True)
    return by_sample[order][:n]


def agreed(predictions: Sequence[Shaped[Tensor, "n *label"]], kind: Kind) -> Tensor:
    """Return what most networks predict for each row: one [n] or [n, label], as each of them.

    Of classes the most frequent one, and of several the first; of labels those that more than half
    of the networks name; of a number the mean.
    """
    every = torch.stack(list(predictions))
    if kind is Kind.NUMBER:
        return every.double().mean(0)
    if kind is Kind.LABELS:
        return (2 * every.sum(0) > len(every)).long()
    return torch.nn.functional.one_hot(every).sum(0).argmax(1)


def _strata(
    y: Shaped[Tensor, "n *label"], sample: Int[Tensor, "n"], kind: Kind
) -> Int[Tensor, "n"]:
    """Return the stratum of each row, counted from 0."""
    if kind is not Kind.NUMBER:
        return torch.unique(y, dim=0, return_inverse=True)[1]

    # Equal numbers have the order of the identities.
    by_sample = sample.argsort()
    order = by_sample[y[by_sample].argsort(stable=True)]
    n = len(y)
    rank = torch.empty(n, dtype=torch.long)
    rank[order] = torch.arange(n)
    return rank * N_PARTS // n


def _places(stratum: Int[Tensor, "row"], sample: Int[Tensor, "row"]) -> Float64[Tensor, "row"]:
    """Return the place of each row in the draw."""
    numbers = torch.arange(int(stratum.max()) + 1)
    key = uniform("explained samples", 0, sample, 1)[:, 0]
    start = uniform("explained strata", 0, numbers, 1)[:, 0]

    place = torch.empty(len(sample), dtype=torch.float64)
    for number in numbers.tolist():
        is_own = stratum == number
        rows = is_own.nonzero().flatten()
        rank = key[rows].argsort().argsort()
        place[rows] = (rank + start[number]) / len(rows)
    return place

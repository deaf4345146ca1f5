"""Which rows of a split stand for all of it: a stratified draw that no order of the split changes.

Strata are the classes, tenths of a number by size, or sets of labels. Each row has a place in
[0, 1): in a stratum of m rows, in the random order of the samples' identities, row r is at
(r + u) / m with one u in [0, 1) for each stratum. Rows are drawn by place (systematic sampling), so
that any number of first rows holds each stratum in proportion, and a smaller draw is the beginning
of a larger one.
"""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from gpex_bench.types.draws import uniform
from gpex_bench.types.values import Kind, Split

N_PARTS = 10  # of a number


def drawn(split: Split, kind: Kind, n: int) -> Int[Tensor, "row"]:
    """Return n rows of a split in the order of the draw, or all if it has fewer.

    The same identities and targets give the same samples, whatever the order of the split.
    """
    place = _places(_strata(split, kind), split.sample)
    # Equal places are next to impossible, and have the order of the identities.
    by_sample = split.sample.argsort()
    order = place[by_sample].argsort(stable=True)
    return by_sample[order][:n]


def _strata(split: Split, kind: Kind) -> Int[Tensor, "row"]:
    """Return the stratum of each row, counted from 0."""
    y = split.y
    if kind is not Kind.NUMBER:
        return torch.unique(y, dim=0, return_inverse=True)[1]

    # Equal numbers have the order of the identities.
    by_sample = split.sample.argsort()
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

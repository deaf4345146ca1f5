"""The largest of many scores, block by block: memory does not grow with how many there are."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 8192  # rows at a time: a few megabytes, which stay in the processor's cache


def largest(
    blocks: Iterable[Float[Tensor, "batch _"]], k: int
) -> tuple[Float[Tensor, "batch k"], Int[Tensor, "batch k"]]:
    """Return the k largest scores of each query and their columns, largest first.

    Raises:
        ValueError: fewer than k scores in all blocks together.
    """
    best: Tensor | None = None
    index = torch.empty(0, dtype=torch.long)
    start = 0
    for scores in blocks:
        weight, where = scores.topk(min(k, scores.shape[1]), 1)
        where = where + start

        if best is not None:
            weight = torch.cat([best, weight], 1)
            where = torch.cat([index, where], 1)
            weight, order = weight.topk(min(k, weight.shape[1]), 1)
            where = where.gather(1, order)

        best = weight
        index = where
        start += scores.shape[1]

    if best is None or best.shape[1] < k:
        raise ValueError(f"k must be at most the number of scores ({start}), got {k}.")
    return best, index

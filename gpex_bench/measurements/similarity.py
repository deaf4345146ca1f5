"""How alike two maps are: the rank correlation of their positions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor


def ranks(values: Float[Tensor, "*row position"]) -> Float[Tensor, "*row position"]:
    """Return the ranks along the last axis, from 1 for the smallest; equal values share their mean rank."""
    return torch.from_numpy(rankdata(values.double().cpu().numpy(), axis=-1)).to(values.device)


def spearman(
    a: Float[Tensor, "*#row position"], b: Float[Tensor, "*#row position"]
) -> Float[Tensor, "..."]:
    """Return Spearman's correlation along the last axis, in [-1, 1]; rows are broadcast, and each is ranked once.

    A constant row has no order: 0 with a row that has one, 1 with another constant one, which is as alike as can be.
    """
    centred = [ranks(row) - (row.shape[-1] + 1) / 2 for row in (a, b)]
    powers = [row.square().sum(-1) for row in centred]
    size = (
        powers[0] * powers[1]
    ).sqrt()  # of equal rows exactly their power: their correlation is 1, not nearly 1
    found = (centred[0] * centred[1]).sum(-1) / torch.where(size > 0, size, 1.0)
    both_constant = (powers[0] == 0) & (powers[1] == 0)
    return torch.where(both_constant, 1.0, found).clamp(-1, 1)

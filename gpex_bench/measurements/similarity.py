"""How alike two rows of numbers are: correlations of values and of ranks."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

# A spread below this part of the largest value is rounding in float64 sums.
CONSTANT = 1e-9


def pearson(a: Float[Tensor, "batch n"], b: Float[Tensor, "batch n"]) -> Float[Tensor, "batch"]:
    """Return the correlation of each pair of rows, in [-1, 1]; 0 if one of them is constant."""
    a, b = a.double(), b.double()
    off_a = a - a.mean(1, keepdim=True)
    off_b = b - b.mean(1, keepdim=True)
    norm_a = off_a.norm(dim=1)
    norm_b = off_b.norm(dim=1)

    a_varies = norm_a > CONSTANT * a.norm(dim=1)
    b_varies = norm_b > CONSTANT * b.norm(dim=1)
    varies = a_varies & b_varies
    size = torch.where(varies, norm_a * norm_b, 1.0)
    correlation = (off_a * off_b).sum(1) / size
    return torch.where(varies, correlation.clamp(-1, 1), 0.0)


def _rank(values: Float[np.ndarray, "*row position"]) -> Float[np.ndarray, "*row position"]:
    """Return the ranks along the last axis, as `ranks` does for tensors."""
    # Imported here because the workflow imports every metric when it starts, and this is slow.
    from scipy.stats import rankdata

    return rankdata(values, axis=-1)


def ranks(values: Float[Tensor, "*row position"]) -> Float[Tensor, "*row position"]:
    """Return the ranks along the last axis, from 1 for the smallest.

    Equal values share their mean rank.
    """
    return torch.from_numpy(_rank(values.double().cpu().numpy())).to(values.device)


def spearman(
    a: Float[Tensor, "*#row position"], b: Float[Tensor, "*#row position"]
) -> Float[Tensor, "..."]:
    """Return Spearman's correlation along the last axis, in [-1, 1].

    Rows are broadcast, and each is ranked once.

    A constant row has no order: 0 with a row that has one, 1 with another constant one, which is as
    alike as can be.
    """
    centred_a = ranks(a) - (a.shape[-1] + 1) / 2
    centred_b = ranks(b) - (b.shape[-1] + 1) / 2
    power_a = centred_a.square().sum(-1)
    power_b = centred_b.square().sum(-1)

    # Of equal rows exactly their power: their correlation is 1, not nearly 1.
    size = (power_a * power_b).sqrt()
    divisor = torch.where(size > 0, size, 1.0)
    correlation = (centred_a * centred_b).sum(-1) / divisor

    both_constant = (power_a == 0) & (power_b == 0)
    return torch.where(both_constant, 1.0, correlation).clamp(-1, 1)


def likeness(
    before: Float[Tensor, "batch position"],
    after: Float[Tensor, "batch draw position"],
    absolute: bool = False,
) -> Float[Tensor, "batch"]:
    """Return the mean rank correlation of each map with its other ones."""
    first = before[:, None]
    if absolute:
        first, after = first.abs(), after.abs()
    return spearman(first, after).mean(1)


def unit_ranks(values: Float[np.ndarray, "*row position"]) -> Float[np.ndarray, "*row position"]:
    """Return centred ranks of length 1, whose products are rank correlations.

    Zeros for a constant row.

    For all pairs of many maps at once, where a correlation of 1 may be off by rounding; else see
    `spearman`.
    """
    centred = _rank(values) - (values.shape[-1] + 1) / 2
    power = (centred**2).sum(-1, keepdims=True)
    size = np.sqrt(power)
    divisor = np.where(size > 0, size, 1.0)
    return centred / divisor

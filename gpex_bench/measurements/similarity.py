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
    centred_a = a - a.mean(1, keepdim=True)
    centred_b = b - b.mean(1, keepdim=True)
    size_a = centred_a.norm(dim=1)
    size_b = centred_b.norm(dim=1)

    a_varies = size_a > CONSTANT * a.norm(dim=1)
    b_varies = size_b > CONSTANT * b.norm(dim=1)
    both_vary = a_varies & b_varies

    size = torch.where(both_vary, size_a * size_b, 1.0)
    product = (centred_a * centred_b).sum(1)
    correlation = product / size
    return torch.where(both_vary, correlation.clamp(-1, 1), 0.0)


def _rank(values: Float[np.ndarray, "*row position"]) -> Float[np.ndarray, "*row position"]:
    """Return the ranks along the last axis, as `ranks` does for tensors."""
    # Imported here because the workflow imports every metric when it starts, and this is slow.
    from scipy.stats import rankdata

    return rankdata(values, axis=-1)


def ranks(values: Float[Tensor, "*row position"]) -> Float[Tensor, "*row position"]:
    """Return the ranks along the last axis, from 1 for the smallest.

    Equal values share their mean rank.
    """
    numbers = values.double().cpu().numpy()
    ranked = torch.from_numpy(_rank(numbers))
    return ranked.to(values.device)


def spearman(
    a: Float[Tensor, "*#row position"], b: Float[Tensor, "*#row position"]
) -> Float[Tensor, "..."]:
    """Return Spearman's correlation along the last axis, in [-1, 1].

    Rows are broadcast, and each is ranked once.

    A constant row has no order: 0 with a row that has one, 1 with another constant one, which is as
    alike as can be.
    """
    n_positions = a.shape[-1]
    mean_rank = (n_positions + 1) / 2
    centred_a = ranks(a) - mean_rank
    centred_b = ranks(b) - mean_rank
    power_a = centred_a.square().sum(-1)
    power_b = centred_b.square().sum(-1)

    # Of equal rows exactly their power: their correlation is 1, not nearly 1.
    size = (power_a * power_b).sqrt()
    divisor = torch.where(size > 0, size, 1.0)
    product = (centred_a * centred_b).sum(-1)
    correlation = product / divisor

    both_constant = (power_a == 0) & (power_b == 0)
    correlation = torch.where(both_constant, 1.0, correlation)
    return correlation.clamp(-1, 1)


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

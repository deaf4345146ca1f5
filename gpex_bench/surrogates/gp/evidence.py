"""Log marginal likelihood of a weight-space Gaussian process, and the noise that maximises it.

Both need A, b and c only: Rasmussen and Williams (2006), section 5.4.1, in weight space.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor

from gpex_bench.surrogates.gp.posterior import State, Statistics, factor

LOWEST, HIGHEST = 1e-8, 1e2  # noise variances that are looked at; targets have unit variance
RELATIVE = 1e-12  # of the largest eigenvalue of A: below, P equals A in float64
# noise variances on the first grid, and steps of the golden-section search in its best cell
GRID, GOLDEN = 81, 60


def evidence(state: State) -> Float64[Tensor, "head"]:
    """Return the log marginal likelihood of each head's standardised targets, in nats.

    log p(v) = -[(c - b'P^-1 b) / s2 + log det P + (M - D) log s2 + M log 2 pi] / 2; that of y
    itself is smaller by M log(scale).
    """
    sums = state.statistics
    dim = sums.b.shape[1]

    lower = factor(state)
    w = torch.cholesky_solve(sums.b, lower)
    explained = (sums.b * w).sum(1)
    misfit = (sums.c - explained) / state.noise[:, None]

    log_diagonal = lower.diagonal(dim1=-2, dim2=-1).log()
    log_det_p = 2 * log_diagonal.sum(-1)
    log_det = log_det_p + (sums.count - dim) * state.noise.log()

    constant = sums.count * math.log(2 * math.pi)
    total = misfit + log_det[:, None] + constant
    return (-0.5 * total).flatten()


def evidence_noise(sums: Statistics) -> Float64[Tensor, "group"]:
    """Return the noise variance of each group with the largest evidence, summed over its heads.

    Heads that are constant do not count. One eigendecomposition A = Q diag(l) Q' makes the evidence
    of any noise s2 a sum over l:

        -2 log p = sum_o [c_o - sum_i (Q'b)_io^2 / (l_i + s2)] / s2
                   + n_out [sum_i log(l_i + s2) + (M - D) log s2] + const

    A grid on log s2 finds the best cell and a golden-section search the best point in it. The
    result is in [max(1e-8, 1e-12 max l), 100]. A group whose heads are all constant gets the noise
    1, on which nothing depends.
    """
    eigenvalue, q = torch.linalg.eigh(sums.a)
    eigenvalue = eigenvalue.clamp(min=0)
    dim = eigenvalue.shape[-1]
    explained = (q.mT @ sums.b).square().sum(-1)
    n_varying = (sums.c > 0).sum(-1)
    total = sums.c.sum(-1)

    def cost(log_noise: Tensor) -> Tensor:
        """Return -2 log p up to a constant for noises [trial, group]."""
        noise = log_noise.exp()
        ridge = eigenvalue + noise[..., None]
        misfit = (total - (explained / ridge).sum(-1)) / noise
        log_det = ridge.log().sum(-1) + (sums.count - dim) * log_noise
        return misfit + n_varying * log_det

    lowest = RELATIVE * eigenvalue.amax(-1)
    low = lowest.clamp(min=LOWEST, max=HIGHEST / 2).log()
    steps = torch.linspace(0, 1, GRID, dtype=low.dtype, device=low.device)[:, None]
    grid = low + steps * (math.log(HIGHEST) - low)

    best = cost(grid).argmin(0, keepdim=True)
    left = grid.gather(0, (best - 1).clamp(0, GRID - 1))[0]
    right = grid.gather(0, (best + 1).clamp(0, GRID - 1))[0]
    noise = _minimise(cost, left, right).exp()
    return torch.where(n_varying > 0, noise, 1.0)


def _minimise(cost: Callable[[Tensor], Tensor], left: Tensor, right: Tensor) -> Tensor:
    """Return the minimum of a function of each entry in its interval, by golden-section search."""
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(GOLDEN):
        reach = ratio * (right - left)
        a = right - reach
        b = left + reach

        is_left = cost(a[None])[0] < cost(b[None])[0]
        left = torch.where(is_left, left, a)
        right = torch.where(is_left, b, right)
    return (left + right) / 2

"""Variance-based sensitivity: which part of a function's variance is due to one factor, to a pair, and to the rest.

Factors are independent; f is decomposed into parts of one factor, of pairs, and so on (sobol2001global). First-order
indices are the shares of the variance that single factors explain, total indices the shares that go away when a factor
is known, a second-order index the share of what two factors do together and not alone.

Sampled: designs of scrambled Sobol points and the estimators of SALib (iwanaga2022salib; on the same answers ours give
its numbers), of saltelli2010variance, jansen1999analysis and saltelli2002making. Exact: factors that are fair coins,
of which every combination was asked.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gpex_bench.masking.choices import check_budget
from gpex_bench.types.values import value

ROUNDING = 1e-6  # answers whose s.d. is a smaller share of their largest size are constant
N_RESAMPLES = 100  # as SALib's default
QUANTILE = 1.959963984540054  # of the normal distribution, for 95 %


@value
class Indices:
    """Indices of several functions, each [batch factor], or for pairs [batch factor factor] with i < j, else 0.

    The halves are half-widths of 95 % intervals: 1.96 bootstrap standard errors over the base points.
    """

    first: Float64[Tensor, "batch factor"]
    total: Float64[Tensor, "batch factor"]
    second: Float64[Tensor, "batch factor factor"] | None = None  # None: pairs were not asked
    halves: tuple[Tensor, Tensor, Tensor | None] | None = (
        None  # of the three, in this order; None: exact
    )


def base_points(budget: int, n_factors: int, has_pairs: bool = False) -> int:
    """Return the largest power of two, of at least 2, whose design the budget (in rows) pays for."""
    each = rows_each(n_factors, has_pairs)
    check_budget(budget, 2 * each, f"{n_factors} factors")
    return int(2 ** ((budget // each).bit_length() - 1))


def rows_each(n_factors: int, has_pairs: bool = False) -> int:
    """Return how many rows of the design a base point gives."""
    return n_factors * (2 if has_pairs else 1) + 2


def design(n_factors: int, n_samples: int, seed: int) -> np.ndarray:
    """Return scrambled Sobol points [n_samples, 2 * n_factors]: the matrices A and B side by side."""
    from scipy.stats import qmc

    return qmc.Sobol(2 * n_factors, scramble=True, rng=seed).random(n_samples)


def mixed(points: Tensor, has_pairs: bool = False) -> Callable[[slice], Tensor]:
    """Return the function that makes rows of the design as they are needed.

    Each base point gives A, then A with each of its columns in turn taken from B, with pairs then B with each of its
    columns taken from A, then B: the order of SALib.
    """
    n_factors = points.shape[1] // 2
    each = rows_each(n_factors, has_pairs)
    column = torch.arange(n_factors, device=points.device)

    def rows(part: slice) -> Tensor:
        row = torch.arange(part.start, part.stop, device=points.device)
        point, kind = row // each, (row % each)[:, None]
        a, b = points[point].split(n_factors, dim=1)
        is_b = (kind == each - 1) | (column == kind - 1)
        if has_pairs:
            is_b |= (kind > n_factors) & (column != kind - 1 - n_factors)
        return torch.where(is_b, b, a)

    return rows


def indices(y: Tensor, order: str) -> Tensor:
    """Return the first-order or total indices from answers [sample, base point, A AB_1 ... AB_d B]."""
    first, total, _ = _estimates(y, has_pairs=False)
    return total if order == "total" else first


def is_constant(spread: Tensor, largest: Tensor) -> Tensor:
    """Return where a variance is nothing beside the largest size of the answers: rounding has no indices."""
    return spread <= (ROUNDING * largest) ** 2


def decompose(
    y: Float[Tensor, "batch point row"], has_pairs: bool, seeds: list | None = None
) -> Indices:
    """Return the indices from the answers to a design, 0 where the answers are constant.

    Args:
        y: the answers, in the order of `mixed`.
        has_pairs: whether the design had pairs.
        seeds: one for each function: of the resamples of its intervals; None: no intervals.
    """
    first, total, second = _estimates(y, has_pairs)
    halves = None
    if seeds is not None:
        spreads = [_spread(one, has_pairs, seed) for one, seed in zip(y, seeds, strict=True)]
        wide = [torch.stack(parts) for parts in zip(*spreads, strict=True)]
        halves = (wide[0], wide[1], wide[2] if has_pairs else None)
    return Indices(first=first, total=total, second=second, halves=halves)


def _spread(y: Tensor, has_pairs: bool, seed: int) -> list:
    """Return the half-widths of one function's indices, from base points that are drawn again."""
    generator = np.random.default_rng(seed)
    drawn = torch.from_numpy(generator.integers(0, len(y), (N_RESAMPLES, len(y)))).to(y.device)
    found = _estimates(y[drawn], has_pairs)
    return [QUANTILE * part.std(0) for part in found if part is not None]


def _estimates(y: Tensor, has_pairs: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return first-order, total and second-order indices."""
    y = y.double()
    n_factors = (y.shape[2] - 2) // (2 if has_pairs else 1)
    largest = y.abs().amax((1, 2))[:, None]
    y = y - y.mean((1, 2), keepdim=True)  # without it the first-order estimate explodes
    a, mixes, b = y[..., :1], y[..., 1 : 1 + n_factors], y[..., -1:]
    spread = torch.cat([a, b], 1).flatten(1).var(1, correction=0)[:, None]
    is_flat = is_constant(spread, largest)
    spread = torch.where(is_flat, 1, spread)
    first = torch.where(is_flat, 0, (b * (mixes - a)).mean(1) / spread)
    total = torch.where(is_flat, 0, (a - mixes).square().mean(1) / (2 * spread))
    if not has_pairs:
        return first, total, None
    others = y[..., 1 + n_factors : -1]
    both = torch.einsum("bni,bnj->bij", others, mixes) / y.shape[1] - (a * b).mean(1)[..., None]
    second = both / spread[..., None] - first[:, :, None] - first[:, None, :]
    return first, total, torch.where(is_flat[..., None], 0, second).triu(1)


# --- fair coins, every combination ------------------------------------------------------------------------------------


def combinations(n_factors: int) -> Float[Tensor, "combination factor"]:
    """Return every mask of zeros and ones; the last factor changes fastest."""
    bits = torch.arange(2**n_factors)[:, None] >> torch.arange(n_factors - 1, -1, -1)
    return (bits & 1).float()


def enumerated(y: Float[Tensor, "batch combination"]) -> Indices:
    """Return the exact indices of functions of fair coins, from their answers to all `combinations`.

    The coefficients of the Walsh-Hadamard transform are the parts of the decomposition: the variance of the part of
    some factors is the square of their coefficient.
    """
    n_factors = y.shape[1].bit_length() - 1
    if y.shape[1] != 2**n_factors:
        raise ValueError(
            f"y must hold the answers to all 2^n combinations, got {y.shape[1]} answers."
        )
    parts = y.double().view(-1, *[2] * n_factors)
    for axis in range(1, n_factors + 1):
        off, on = parts.select(axis, 0), parts.select(axis, 1)
        parts = torch.stack([(off + on) / 2, (on - off) / 2], axis)
    power = parts.flatten(1).square()
    spread = power[:, 1:].sum(1, keepdim=True)
    is_flat = is_constant(spread, y.double().abs().amax(1, keepdim=True))
    power = torch.where(is_flat, 0, power / torch.where(is_flat, 1, spread))
    takes_part = combinations(n_factors).to(power)
    size = takes_part.sum(1)
    pair = takes_part * (size == 2)[:, None]
    second = torch.einsum("bc,ci,cj->bij", power, pair, pair).triu(1)
    return Indices(
        first=power @ (takes_part * (size == 1)[:, None]), total=power @ takes_part, second=second
    )

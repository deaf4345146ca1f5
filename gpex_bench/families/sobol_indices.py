"""Variance-based sensitivity: how much of a function's variance is due to which of its factors.

Factors are independent; f is decomposed into parts of one factor, of pairs, and so on
(sobol2001global). A first-order index is the share of the variance that one factor explains alone,
a total index the share that goes away when a factor is known, a second-order index the share of
what two factors do together and not alone.

Sampled: designs and estimators are those of SALib (iwanaga2022salib) for saltelli2010variance,
jansen1999analysis and saltelli2002making. `SALib.analyze.sobol.analyze` takes one function at a
time and always resamples; its estimators are called directly here, for all functions at once and
without its global random state. Exact: factors that are fair coins, of which every combination was
asked; SALib has no such estimator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gpex_bench.masking.choices import check_budget
from gpex_bench.types.values import value

# Answers whose s.d. is a smaller share of their largest size are constant: the rounding of sums in
# double precision. What single precision resolves is checked where the network is asked
# (`masking.resolution`).
ROUNDING = 1e-13
FEWEST_POINTS = 8  # with fewer base points the indices of a linear function are off by their size
N_RESAMPLES = 100  # as SALib's default
QUANTILE = 1.959963984540054  # of the normal distribution, for 95 %


@value
class Indices:
    """Indices of several functions, each [batch factor], or for pairs [batch factor factor].

    Of a pair (i, j) only the entry with i < j is set. The halves are half-widths of 95 %
    intervals: 1.96 bootstrap standard errors over the base points.
    """

    first: Float64[Tensor, "batch factor"]
    total: Float64[Tensor, "batch factor"]
    second: Float64[Tensor, "batch factor factor"] | None = None  # None: pairs were not asked
    # of the three, in this order; None: exact, or not asked
    halves: tuple[Tensor, Tensor, Tensor | None] | None = None


# --- sampled factors --------------------------------------------------------------------------


def base_points(budget: int, n_factors: int, has_pairs: bool = False) -> int:
    """Return how many base points the budget (in rows) pays for: a power of two.

    Raises:
        Refused: it does not pay for FEWEST_POINTS.
    """
    each = rows_each(n_factors, has_pairs)
    check_budget(budget, FEWEST_POINTS * each, f"{n_factors} factors")
    return int(2 ** ((budget // each).bit_length() - 1))


def rows_each(n_factors: int, has_pairs: bool = False) -> int:
    """Return how many rows of the design a base point gives."""
    return n_factors * (2 if has_pairs else 1) + 2


def sampled_rows(
    n_factors: int, n_points: int, seed: int, has_pairs: bool = False
) -> Float64[np.ndarray, "row factor"]:
    """Return SALib's design: `rows_each` rows in [0, 1] for each base point, in order.

    Each base point gives A, then A with each of its columns in turn taken from B, with pairs then
    B with each of its columns taken from A, then B. The points are a scrambled Sobol sequence.
    """
    from SALib.sample import sobol

    problem = {
        "num_vars": n_factors,
        "names": [f"factor {i}" for i in range(n_factors)],
        "bounds": [[0.0, 1.0]] * n_factors,
    }
    # a generator of its own: SALib's numbers from a bare integer depend on SciPy's version
    generator = np.random.default_rng(seed)
    return sobol.sample(problem, n_points, calc_second_order=has_pairs, seed=generator)


def design(n_factors: int, n_points: int, seed: int) -> Float64[np.ndarray, "point factor"]:
    """Return the base points of `sampled_rows` alone: the matrices A and B side by side."""
    from scipy.stats import qmc

    return qmc.Sobol(2 * n_factors, scramble=True, rng=seed).random(n_points)


def mixed(points: Tensor, has_pairs: bool = False) -> Callable[[slice], Tensor]:
    """Return the function that makes a slice of the rows of `sampled_rows` from base points.

    It gives the same rows. SALib makes them entry by entry in Python, which for the 49 factors of
    `sobol` takes as long as the network does; few factors go through `sampled_rows`.
    """
    n_factors = points.shape[1] // 2
    each = rows_each(n_factors, has_pairs)
    column = torch.arange(n_factors, device=points.device)

    def rows(part: slice) -> Tensor:
        row = torch.arange(part.start, part.stop, device=points.device)
        point = row // each
        kind = (row % each)[:, None]  # 0: A; then A with one column of B; last: B

        is_b = (kind == each - 1) | (column == kind - 1)
        if has_pairs:
            is_b |= (kind > n_factors) & (column != kind - 1 - n_factors)

        a, b = points[point].split(n_factors, dim=1)
        return torch.where(is_b, b, a)

    return rows


def indices(y: Float[Tensor, "batch point row"], order: str) -> Float64[Tensor, "batch factor"]:
    """Return the first-order or the total indices from the answers to a design without pairs."""
    estimates = _estimate(y, has_pairs=False)
    return estimates.total if order == "total" else estimates.first


def is_constant(spread: Tensor, largest: Tensor) -> Tensor:
    """Return where a variance is only rounding, next to the largest size of the answers."""
    return spread <= (ROUNDING * largest) ** 2


def decompose(
    y: Float[Tensor, "batch point row"], has_pairs: bool, seeds: list | None = None
) -> Indices:
    """Return the indices from the answers to a design, 0 where the answers are constant.

    Args:
        y: the answers, in the order of `sampled_rows`.
        has_pairs: whether the design had pairs.
        seeds: one for each function: of the resamples of its intervals; None: no intervals.
    """
    estimates = _estimate(y, has_pairs)
    halves = None
    if seeds is not None:
        spreads = [_half_widths(one, has_pairs, seed) for one, seed in zip(y, seeds, strict=True)]
        first, total, second = (list(parts) for parts in zip(*spreads, strict=True))
        halves = (
            torch.stack(first),
            torch.stack(total),
            torch.stack(second) if has_pairs else None,
        )
    return Indices(
        first=estimates.first, total=estimates.total, second=estimates.second, halves=halves
    )


class Estimates(NamedTuple):
    """First-order, total and second-order indices of several functions."""

    first: Tensor
    total: Tensor
    second: Tensor | None


def _half_widths(y: Tensor, has_pairs: bool, seed: int) -> list:
    """Return the half-widths of the intervals of one function's indices, from resampled points."""
    generator = np.random.default_rng(seed)
    drawn = torch.from_numpy(generator.integers(0, len(y), (N_RESAMPLES, len(y)))).to(y.device)
    resampled = _estimate(y[drawn], has_pairs)
    return [None if part is None else QUANTILE * part.std(0) for part in resampled]


def _estimate(y: Float[Tensor, "batch point row"], has_pairs: bool) -> Estimates:
    """Return the indices by SALib's estimators; 0 where the answers are constant."""
    n_functions, _, n_rows = y.shape
    n_factors = (n_rows - 2) // (2 if has_pairs else 1)
    answers = y.double()
    largest = answers.abs().amax((1, 2))
    # as SALib's `analyze` does: without a mean of 0 the first-order estimate explodes
    answers = answers - answers.mean((1, 2), keepdim=True)
    spread = answers[:, :, [0, -1]].flatten(1).var(1, correction=0)
    varies = ~is_constant(spread, largest)

    first = answers.new_zeros(n_functions, n_factors)
    total = torch.zeros_like(first)
    second = answers.new_zeros(n_functions, n_factors, n_factors) if has_pairs else None
    if bool(varies.any()):
        scaled = answers[varies] / spread[varies].sqrt()[:, None, None]
        # SALib's arrays begin with the base points
        columns = scaled.transpose(0, 1).contiguous().cpu().numpy()
        first[varies] = _first_order(columns, n_factors).to(first)
        total[varies] = _total_order(columns, n_factors).to(total)
        if second is not None:
            second[varies] = _second_order(columns, n_factors).to(second)

    return Estimates(first=first, total=total, second=second)


def _first_order(y: Float64[np.ndarray, "point function row"], n_factors: int) -> Tensor:
    """Return the first-order indices [function, factor]."""
    from SALib.analyze import sobol

    a_with_b = y[..., 1 : 1 + n_factors]
    a = np.broadcast_to(y[..., :1], a_with_b.shape)
    b = np.broadcast_to(y[..., -1:], a_with_b.shape)
    return torch.from_numpy(sobol.first_order(a, a_with_b, b))


def _total_order(y: Float64[np.ndarray, "point function row"], n_factors: int) -> Tensor:
    """Return the total indices [function, factor]."""
    from SALib.analyze import sobol

    a_with_b = y[..., 1 : 1 + n_factors]
    a = np.broadcast_to(y[..., :1], a_with_b.shape)
    b = np.broadcast_to(y[..., -1:], a_with_b.shape)
    return torch.from_numpy(sobol.total_order(a, a_with_b, b))


def _second_order(y: Float64[np.ndarray, "point function row"], n_factors: int) -> Tensor:
    """Return the second-order indices [function, factor, factor], above the diagonal."""
    from SALib.analyze import sobol

    i, j = np.triu_indices(n_factors, 1)
    a_with_b = y[..., 1 : 1 + n_factors]
    b_with_a = y[..., 1 + n_factors : -1]
    a = np.broadcast_to(y[..., :1], (*y.shape[:2], len(i)))
    b = np.broadcast_to(y[..., -1:], a.shape)

    second = torch.zeros(y.shape[1], n_factors, n_factors, dtype=torch.float64)
    if len(i):
        pairs = sobol.second_order(a, a_with_b[..., i], a_with_b[..., j], b_with_a[..., i], b)
        second[:, i, j] = torch.from_numpy(pairs)
    return second


# --- fair coins, every combination ------------------------------------------------------------


def combinations(n_factors: int) -> Float[Tensor, "combination factor"]:
    """Return every mask of zeros and ones; the last factor changes fastest."""
    bits = torch.arange(2**n_factors)[:, None] >> torch.arange(n_factors - 1, -1, -1)
    return (bits & 1).float()


def enumerated(y: Float[Tensor, "batch combination"]) -> Indices:
    """Return the exact indices of functions of fair coins, from the answers to `combinations`.

    The coefficients of the Walsh-Hadamard transform are the parts of the decomposition: the
    variance of the part of some factors is the square of their coefficient.
    """
    n_factors = y.shape[1].bit_length() - 1
    if y.shape[1] != 2**n_factors:
        raise ValueError(
            f"y must hold the answers to all 2^n combinations, got {y.shape[1]} answers."
        )

    # the transform, one factor at a time
    parts = y.double().view(-1, *[2] * n_factors)
    for axis in range(1, n_factors + 1):
        off, on = parts.select(axis, 0), parts.select(axis, 1)
        parts = torch.stack([(off + on) / 2, (on - off) / 2], axis)

    # shares of the variance; the first coefficient is the mean
    power = parts.flatten(1).square()
    spread = power[:, 1:].sum(1, keepdim=True)
    is_flat = is_constant(spread, y.double().abs().amax(1, keepdim=True))
    power = torch.where(is_flat, 0, power / torch.where(is_flat, 1, spread))

    takes_part = combinations(n_factors).to(power)
    n_together = takes_part.sum(1)
    is_alone = takes_part * (n_together == 1)[:, None]
    is_pair = takes_part * (n_together == 2)[:, None]
    second = torch.einsum("bc,ci,cj->bij", power, is_pair, is_pair).triu(1)
    return Indices(first=power @ is_alone, total=power @ takes_part, second=second)

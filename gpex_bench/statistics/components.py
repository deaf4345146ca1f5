"""Where scores differ: between methods, samples and training seeds.

Analysis of variance of balanced tables with random factors, by the method of moments: each mean
square is equated with its expectation (searle1992variance, chapter 4), and a negative estimate
counts as 0. With three seeds the components that hold a seed have few degrees of freedom; the table
has them in `dof`.

A run gives a crossed table: methods x samples x training seeds of one dataset. Runs that repeat
more are split by the study `variance`.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from gpex_bench.statistics.units import Units
from gpex_bench.tables.columns import VARIANCE

FACTORS = ("method", "sample", "training seed")


def components(
    table: Float[np.ndarray, "..."], names: tuple[str, ...]
) -> dict[str, tuple[float, int]]:
    """Return variance and degrees of freedom of each factor and interaction.

    The expectation of a mean square is the sum, over all terms that contain its factors, of the
    term's variance times the number of cells at each of its levels. So the variance of a term is an
    alternating sum of mean squares, divided by that number.

    Args:
        table: one axis per factor, one number per cell; factors with one level are left out.
        names: of the axes.

    Returns:
        By the names of the factors of a term; the last one, of all factors, is "residual".
    """
    kept = [axis for axis, size in enumerate(table.shape) if size > 1]
    names = tuple(names[axis] for axis in kept)
    table = table.reshape([table.shape[axis] for axis in kept])
    axes = range(len(kept))
    terms: list[tuple[int, ...]] = []
    for size in range(1, len(kept) + 1):
        terms += combinations(axes, size)

    # Mean squares and their degrees of freedom.
    squares, dofs = {}, {}
    for term in terms:
        effect = table
        for axis in axes:
            mean = effect.mean(axis, keepdims=True)
            effect = effect - mean if axis in term else mean

        dofs[term] = math.prod(table.shape[axis] - 1 for axis in term)
        total = _n_cells(table, term) * (effect**2).sum()
        squares[term] = float(total / dofs[term])

    result = {}
    for term in terms:
        # Inclusion and exclusion over the terms that contain this one.
        above = [other for other in terms if set(term) <= set(other)]
        moment = 0.0
        for other in above:
            sign = (-1) ** (len(other) - len(term))
            moment += sign * squares[other]
        variance = max(float(moment / _n_cells(table, term)), 0.0)

        is_last = len(term) == len(kept)
        name = "residual" if is_last else " x ".join(names[axis] for axis in term)
        result[name] = (variance, dofs[term])
    return result


def _n_cells(table: np.ndarray, term: tuple[int, ...]) -> float:
    """Return how many cells are at one level of a term."""
    others = [size for axis, size in enumerate(table.shape) if axis not in term]
    return float(np.prod(others))


def table(units: Units) -> pd.DataFrame:
    """Return one row for each component of one network and metric.

    Controls and methods without a full set of scores are left out; methods with the same scores
    count once.
    """
    scores = units.distinct[units.ranked] if units.n_groups else units.scores
    if scores.size < 2 or not len(scores):
        return pd.DataFrame(columns=list(VARIANCE))

    parts = components(scores, FACTORS)
    total = sum(variance for variance, _ in parts.values())
    rows = []
    for name, (variance, dof) in parts.items():
        share = variance / total if total > 0 else float("nan")
        rows.append((*units.place, name, share, variance, dof))
    return pd.DataFrame(rows, columns=list(VARIANCE))

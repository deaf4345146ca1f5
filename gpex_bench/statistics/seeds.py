"""Differences between settings that were trained with the same seeds, and trends along an axis.

Settings share seeds, splits and mostly the networks, so that they are compared seed by seed: the spread of the
differences counts, and neither what all settings have in common nor the spread of a third setting. With fewer than two
common seeds the two samples stand for themselves (Welch's test, `welch1947generalization`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from gpex_bench.statistics.intervals import t_interval
from gpex_bench.tables.columns import CONFIDENCE
from gpex_bench.types.values import value


@value
class Difference:
    """A mean difference with its t interval; NaN where one seed does not tell."""

    mean: float
    low: float
    high: float
    p_value: float  # two-sided, of "it is 0"
    n_seeds: int  # common ones; the smaller sample's without
    is_paired: bool = True


def difference(a: pd.Series, b: pd.Series) -> Difference:
    """Return a minus b, of two settings' numbers with the training seed as index."""
    a, b = a.dropna(), b.dropna()
    common = a.index.intersection(b.index)
    if len(common) >= 2 or min(len(a), len(b)) < 2:
        return _tested((a - b)[common].to_numpy(float))
    squares = [float(part.var(ddof=1)) / len(part) for part in (a, b)]
    freedom = [square**2 / (len(part) - 1) for square, part in zip(squares, (a, b), strict=True)]
    error = math.sqrt(sum(squares))
    degrees = sum(squares) ** 2 / sum(freedom) if error > 0 else 1.0
    return _around(
        float(a.mean() - b.mean()), error, degrees, n_seeds=min(len(a), len(b)), is_paired=False
    )


def settings_differ(samples: Sequence[pd.Series]) -> float:
    """Return the p value of "all settings are alike": Friedman's test, by ranks within seeds (`friedman1937use`).

    It takes three settings or more, so that a best and a worst that were picked after looking need no pair test.
    Ranks keep one noisy setting from hiding the others. NaN with fewer than two common seeds.
    """
    wide = pd.concat(list(samples), axis=1).dropna()
    if len(wide) < 2:
        return math.nan
    if (wide.nunique(axis=1) == 1).all():
        return 1.0
    return float(stats.friedmanchisquare(*wide.to_numpy(float).T).pvalue)


def trend(values: pd.DataFrame) -> Difference:
    """Return the mean change from a place of an axis to the next: each seed's Theil-Sen slope (`sen1968estimates`).

    Args:
        values: one row per seed and place: seed, place (a number), value. Seeds that lack a number which another one
            has are left out. The slope is by the places' rank, so that it does not depend on the axis's scale.
    """
    wide = values.pivot_table(index="seed", columns="place", values="value", dropna=False).dropna()
    first, second = np.triu_indices(wide.shape[1], 1)
    numbers = wide.to_numpy(float)
    return _tested(np.median((numbers[:, second] - numbers[:, first]) / (second - first), axis=1))


def needed(n_seeds: int) -> float:
    """Return how many standard deviations of the seeds' differences a mean must exceed to differ from 0 at 95 %."""
    return (
        float(stats.t.ppf((1 + CONFIDENCE) / 2, n_seeds - 1)) / math.sqrt(n_seeds)
        if n_seeds > 1
        else math.inf
    )


def _tested(sample: np.ndarray) -> Difference:
    """Return the mean of one number per seed, tested against 0."""
    n = len(sample)
    if n < 2:
        nothing = math.nan
        mean = float(sample.mean()) if n else nothing
        return Difference(mean=mean, low=nothing, high=nothing, p_value=nothing, n_seeds=n)
    return _around(
        float(sample.mean()),
        float(sample.std(ddof=1)) / math.sqrt(n),
        float(n - 1),
        n_seeds=n,
        is_paired=True,
    )


def _around(
    mean: float, error: float, degrees: float, *, n_seeds: int, is_paired: bool
) -> Difference:
    """Return the t interval and p value of a mean with this standard error."""
    low, high = t_interval(mean, error, degrees)
    chance = float(2 * stats.t.sf(abs(mean) / error, degrees)) if error > 0 else float(mean == 0)
    return Difference(
        mean=mean,
        low=float(low),
        high=float(high),
        p_value=chance,
        n_seeds=n_seeds,
        is_paired=is_paired,
    )

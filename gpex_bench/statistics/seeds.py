"""Differences between settings that were trained with the same seeds, and trends along an axis.

Settings share seeds, splits and mostly the networks, so that they are compared seed by seed: what
counts is the spread of the differences, neither what all settings have in common nor the spread of
a third setting. With fewer than two common seeds the two samples are compared as they are (Welch's
test, `welch1947generalization`).

Few seeds show little. So a difference comes with the number of seeds in which it is positive and
negative, with a test of "it is smaller than a margin" (`equality`: two one-sided t tests,
`schuirmann1987comparison`), and with the smallest true difference that its test would have shown
(`smallest_shown`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import optimize, stats

from gpex_bench.statistics.intervals import t_interval
from gpex_bench.tables.columns import CONFIDENCE, LEVEL
from gpex_bench.types.values import value

N_EXCHANGES = 9999  # of the settings of each seed, where not all ways are tried
POWER = 0.8  # the chance with which a difference that "would have been shown" is shown


@value
class Difference:
    """A mean difference with its t interval; NaN where one seed gives no spread."""

    mean: float
    low: float
    high: float
    p_value: float  # two-sided, of "it is 0"
    n_seeds: int  # the common ones; without those, of the smaller sample
    is_paired: bool = True
    error: float = math.nan  # standard error of the mean
    degrees: float = math.nan  # of freedom
    # seeds in which it is above and below 0; 0 where seeds are not paired
    n_above: int = 0
    n_below: int = 0

    def times(self, factor: float) -> Difference:
        """Return it in units that are smaller by this factor, which is above 0."""
        return replace(
            self,
            mean=factor * self.mean,
            low=factor * self.low,
            high=factor * self.high,
            error=factor * self.error,
        )


def difference(a: pd.Series, b: pd.Series) -> Difference:
    """Return a minus b, of two settings' numbers with the training seed as index."""
    a, b = a.dropna(), b.dropna()
    common = a.index.intersection(b.index)
    if len(common) >= 2 or min(len(a), len(b)) < 2:
        return _paired((a - b)[common].to_numpy(float))
    return _welch(a, b)


def _welch(a: pd.Series, b: pd.Series) -> Difference:
    """Compare two independent samples, with degrees of freedom after welch1947generalization."""
    square_a = _squared_error(a)
    square_b = _squared_error(b)
    total = square_a + square_b
    error = math.sqrt(total)

    degrees = 1.0
    if error > 0:
        part_a = square_a**2 / (len(a) - 1)
        part_b = square_b**2 / (len(b) - 1)
        degrees = total**2 / (part_a + part_b)

    mean = float(a.mean() - b.mean())
    n_seeds = min(len(a), len(b))
    return _around(mean, error, degrees, n_seeds=n_seeds, is_paired=False)


def _squared_error(sample: pd.Series) -> float:
    """Return the square of the mean's standard error."""
    return float(sample.var(ddof=1)) / len(sample)


def settings_differ(samples: Sequence[pd.Series]) -> float:
    """Return the p value of "all settings are alike": Friedman's test, by ranks within seeds.

    It takes three settings or more, so that a best and a worst that were picked after looking need
    no pair test (`friedman1937use`). Ranks keep one noisy setting from hiding the others. With few
    seeds the chi-square approximation is off, so that the settings of each seed are exchanged: all
    ways where these are few, else `N_EXCHANGES` of them. NaN with fewer than two common seeds.
    """
    wide = pd.concat(list(samples), axis=1).dropna()
    if len(wide) < 2:
        return math.nan

    is_equal_everywhere = (wide.nunique(axis=1) == 1).all()
    if is_equal_everywhere:
        return 1.0

    # For given ties Friedman's statistic rises with the squares of the rank sums.
    def squared_sums(*ranks: np.ndarray, axis: int) -> np.ndarray | np.floating:
        sums = np.stack([setting.sum(axis) for setting in ranks])
        return (sums**2).sum(0)

    ranks = stats.rankdata(wide.to_numpy(float), axis=1)
    found = stats.permutation_test(
        ranks.T,
        squared_sums,
        permutation_type="samples",
        alternative="greater",
        n_resamples=N_EXCHANGES,
        vectorized=True,
        rng=0,
    )
    return float(found.pvalue)


def trend(values: pd.DataFrame) -> Difference:
    """Return the mean change from a place of an axis to the next.

    Of each seed it is the Theil-Sen slope, the median of the slopes of all pairs of places
    (`sen1968estimates`). The slope is by the places' rank, so that it does not depend on the axis's
    scale.

    Args:
        values: one row per seed and place: seed, place (a number), value. Seeds that lack a number
            which another one has are left out.
    """
    wide = values.pivot_table(index="seed", columns="place", values="value", dropna=False)
    numbers = wide.dropna().to_numpy(float)

    # Every pair of places, the later one second.
    first, second = np.triu_indices(numbers.shape[1], 1)
    rise = numbers[:, second] - numbers[:, first]
    slopes = rise / (second - first)
    return _paired(np.median(slopes, axis=1))


def equality(found: Difference, margin: float) -> float:
    """Return the p value of "it is at least as large as the margin", in either direction.

    The larger p value of two one-sided t tests (`schuirmann1987comparison`): below 5 %, the 90 %
    interval of the difference lies within the margin. NaN where one seed gives no spread.
    """
    room = margin - abs(found.mean)
    if math.isnan(found.error):
        return math.nan
    if found.error == 0:
        return float(room <= 0)
    return float(stats.t.sf(room / found.error, found.degrees))


def smallest_shown(found: Difference, level: float = LEVEL) -> float:
    """Return the smallest true difference that its t test shows with a chance of 80 % (`POWER`).

    By the noncentral t distribution, with the spread that was seen. NaN without a spread.

    Args:
        found: what was compared.
        level: of the two-sided test; lower ones allow for several comparisons.
    """
    if math.isnan(found.error):
        return math.nan

    least = float(stats.t.ppf(1 - level / 2, found.degrees))

    def missing(shift: float) -> float:
        shown = stats.nct.sf(least, found.degrees, shift)
        return float(POWER - shown)

    # Beyond this shift nearly every test shows it.
    most = 2 * least + 10
    shift = optimize.brentq(missing, 0.0, most)
    return float(shift) * found.error


def needed(n_seeds: int) -> float:
    """Return how many standard deviations of the seeds' differences a mean must exceed.

    Above it, the 95 % interval of the mean does not hold 0. Infinity for a single seed.
    """
    if n_seeds < 2:
        return math.inf
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, n_seeds - 1))
    return quantile / math.sqrt(n_seeds)


def _paired(sample: np.ndarray) -> Difference:
    """Return the mean of one number per seed, tested against 0."""
    n_seeds = len(sample)
    mean = float(sample.mean()) if n_seeds else math.nan
    if n_seeds < 2:
        unknown = math.nan
        return Difference(mean=mean, low=unknown, high=unknown, p_value=unknown, n_seeds=n_seeds)

    spread = float(sample.std(ddof=1))
    error = spread / math.sqrt(n_seeds)
    degrees = float(n_seeds - 1)
    found = _around(mean, error, degrees, n_seeds=n_seeds, is_paired=True)
    n_above = int((sample > 0).sum())
    n_below = int((sample < 0).sum())
    return replace(found, n_above=n_above, n_below=n_below)


def _around(
    mean: float, error: float, degrees: float, *, n_seeds: int, is_paired: bool
) -> Difference:
    """Return the t interval and p value of a mean with this standard error."""
    low, high = t_interval(mean, error, degrees)

    # Without a spread, a mean is 0 or it is not.
    p_value = float(mean == 0)
    if error > 0:
        p_value = float(2 * stats.t.sf(abs(mean) / error, degrees))

    return Difference(
        mean=mean,
        low=float(low),
        high=float(high),
        p_value=p_value,
        n_seeds=n_seeds,
        is_paired=is_paired,
        error=error,
        degrees=degrees,
    )

"""How large a difference between methods is, in standard deviations of the difference.

A p value shrinks with the number of samples, an effect size does not: the same effect has the same
size with 24 samples and with 100.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy import stats

from gpex_bench.statistics.units import Units, sample_means
from gpex_bench.tables.columns import CONFIDENCE
from gpex_bench.types import value

# Fewest samples of which an effect is given: half of them choose the best method.
FEWEST = 8
# Differences that are all alike have no spread, and an effect without bound.
LARGEST = 10.0


@value
class Effect:
    """A standardised mean difference with its 95 % interval; NaN where it is not known."""

    size: float
    low: float
    high: float
    n_samples: int

    @property
    def is_above_zero(self) -> bool:
        """Whether Student's test says that the mean difference is above 0.

        Not read off the interval, which is wide where all samples but one agree.
        """
        if self.n_samples < FEWEST:
            return False
        quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, self.n_samples - 1))
        return self.size * math.sqrt(self.n_samples) > quantile


UNKNOWN = Effect(size=math.nan, low=math.nan, high=math.nan, n_samples=0)


def effect(differences: Float[np.ndarray, "sample"]) -> Effect:
    """Return the mean of paired differences over their standard deviation.

    The interval is Student's with the jackknife's standard error (efron1993introduction), which
    holds for skewed differences too. Sizes are cut at `LARGEST`, and differences that are all 0
    have effect 0.

    Args:
        differences: of the samples; NaN where there is none.
    """
    known = differences[np.isfinite(differences)]
    n_samples = len(known)
    if n_samples < FEWEST:
        return UNKNOWN

    mean = known.mean(keepdims=True)
    variance = known.var(ddof=1, keepdims=True)
    size = float(_ratio(mean, variance)[0])

    reduced = _without_each(known)
    deviations = reduced - reduced.mean()
    error = math.sqrt((deviations**2).sum() * (n_samples - 1) / n_samples)
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, n_samples - 1))
    reach = quantile * error

    low = max(-LARGEST, size - reach)
    high = min(LARGEST, size + reach)
    return Effect(size=size, low=low, high=high, n_samples=n_samples)


def _without_each(values: Float[np.ndarray, "sample"]) -> Float[np.ndarray, "sample"]:
    """Return the effect without each of the samples."""
    n_samples = len(values)
    away = values - values.mean()
    means = values.mean() - away / (n_samples - 1)

    # The sum of squares around the mean of the others.
    lost = away**2 * n_samples / (n_samples - 1)
    squares = (away**2).sum() - lost
    return _ratio(means, squares / (n_samples - 2))


def _ratio(
    mean: Float[np.ndarray, "case"], variance: Float[np.ndarray, "case"]
) -> Float[np.ndarray, "case"]:
    """Return mean over standard deviation, at most `LARGEST` of either sign."""
    deviation = np.sqrt(np.maximum(variance, 0))
    deviation = np.maximum(deviation, np.abs(mean) / LARGEST)
    return mean / np.where(deviation > 0, deviation, 1.0)


def of_best(units: Units, other: int) -> Effect:
    """Return the effect of the best method against another group.

    The best method is chosen on every second sample and compared on the others, and the other way
    round: a choice on the compared samples themselves would make the luckiest of many methods look
    better than it is.
    """
    ours = np.flatnonzero(units.has_method)
    means = sample_means(units.distinct)
    n_samples = means.shape[1]
    gaps = means[ours] - means[other]

    differences = np.full(n_samples, np.nan)
    is_odd = np.arange(n_samples) % 2 == 1
    for chosen_on, compared_on in ((is_odd, ~is_odd), (~is_odd, is_odd)):
        best = _best(gaps[:, chosen_on])
        if best is not None:
            differences[compared_on] = gaps[best, compared_on]
    return effect(differences)


def _best(gaps: Float[np.ndarray, "method sample"]) -> int | None:
    """Return the method with the largest mean gap; None where no method has one."""
    known = np.isfinite(gaps)
    n_known = known.sum(1)
    if not n_known.any():
        return None
    totals = np.where(known, gaps, 0.0).sum(1)
    means = np.where(n_known > 0, totals / np.maximum(n_known, 1), -np.inf)
    return int(np.argmax(means))


def of_group(units: Units, group: int, other: int) -> Effect:
    """Return the effect of one group against another."""
    means = sample_means(units.distinct[[group, other]])
    return effect(means[0] - means[1])

"""Bootstrap intervals of means over samples: many columns at once, the same bits everywhere.

A resample is a row of counts, so that resampled means are one matrix product. Values are first
written as integers of 37 bits in steps of their own column's spread: sums of such integers are
exact in float64, whatever order a library adds them in, whatever the number of threads, and
whatever the other columns are.

The interval in use is the expanded percentile interval (hesterberg2015teachers): the tail
probability of the percentile bootstrap is replaced by one that allows for the n - 1 degrees of
freedom, so that few samples do not look too sure. The bias-corrected and accelerated interval (BCa,
efron1987better) is here to compare with; docs/statistics.md has the coverage of both.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from gpex_bench.tables.columns import CONFIDENCE

N_RESAMPLES = 10_000

# Of a value in steps of its column's spread; up to 2**16 samples their sums are exact.
BITS = 36

Ends = tuple[Float[np.ndarray, "column"], Float[np.ndarray, "column"]]


def draws(
    key: str, n_samples: int, n_resamples: int = N_RESAMPLES
) -> Int[np.ndarray, "resample sample"]:
    """Return bootstrap indices, decided by the key and the number of samples alone."""
    digest = hashlib.sha256(f"{key}/{n_samples}".encode()).digest()
    generator = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
    return generator.integers(0, n_samples, (n_resamples, n_samples), dtype=np.int32)


@lru_cache(maxsize=4)
def counts(
    key: str, n_samples: int, n_resamples: int = N_RESAMPLES
) -> Float[np.ndarray, "resample sample"]:
    """Return how often each sample is in each resample of `draws`."""
    # One histogram for all resamples: each has a range of indices of its own.
    start = n_samples * np.arange(n_resamples)[:, None]
    index = draws(key, n_samples, n_resamples) + start

    flat = np.bincount(index.ravel(), minlength=n_resamples * n_samples)
    return flat.reshape(n_resamples, n_samples).astype(float)


def resampled_means(
    values: Float[np.ndarray, "sample column"], times: Float[np.ndarray, "resample sample"]
) -> Float[np.ndarray, "resample column"]:
    """Return the mean of each column in each resample, to 2**-36 of the column's spread.

    Args:
        values: finite.
        times: how often each sample is in each resample (`counts`).
    """
    away = values - values[:1]
    size = np.abs(away).max(0)
    step = np.ldexp(1.0, np.frexp(size)[1] - BITS)

    steps = times @ np.round(away / step)
    return values[:1] + steps * (step / len(values))


def expansion(n_samples: int) -> float:
    """Return the ratio of a mean's standard error to the standard deviation of its resamples."""
    return float(np.sqrt(n_samples / (n_samples - 1)))


def tail(n_samples: int) -> float:
    """Return the tail probability of the expanded percentile interval.

    Phi(-sqrt(n / (n - 1)) t), where t is the quantile of Student's t with n - 1 degrees of freedom.
    """
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, n_samples - 1)
    return float(stats.norm.cdf(-expansion(n_samples) * quantile))


def percentile_interval(means: Float[np.ndarray, "resample column"], n_samples: int) -> Ends:
    """Return the expanded percentile interval of resampled means; NaN for less than two samples."""
    if n_samples < 2:
        nothing = np.full(means.shape[1], np.nan)
        return nothing, nothing.copy()

    low, high = np.quantile(means, [tail(n_samples), 1 - tail(n_samples)], axis=0)
    return low, high


def interval(values: Float[np.ndarray, "sample"], key: str) -> tuple[float, float]:
    """Return the interval of the mean of one number per sample; the key decides the draws."""
    means = resampled_means(values[:, None], counts(key, len(values)))
    low, high = percentile_interval(means, len(values))
    return float(low[0]), float(high[0])


def bca_interval(
    values: Float[np.ndarray, "sample column"], means: Float[np.ndarray, "resample column"]
) -> Ends:
    """Return the bias-corrected and accelerated interval of each column's mean.

    After efron1987better. A column of equal values has a point.
    """
    centre = values.mean(0)

    # The bias: how far the median of the resamples is from the mean. Ties count half.
    below = (means < centre).mean(0) + 0.5 * (means == centre).mean(0)
    shift = stats.norm.ppf(np.clip(below, 0.5 / len(means), 1 - 0.5 / len(means)))

    # The acceleration: a sixth of the skewness of the mean.
    away = values - centre
    spread = (away**2).sum(0)
    divisor = 6 * np.where(spread > 0, spread, 1) ** 1.5
    skew = np.where(spread > 0, (away**3).sum(0) / divisor, 0.0)

    ends = []
    for side in (-1, 1):
        moved = shift + side * stats.norm.ppf((1 + CONFIDENCE) / 2)
        levels = stats.norm.cdf(shift + moved / (1 - skew * moved))
        pairs = zip(means.T, levels, strict=True)
        ends.append(np.array([np.quantile(column, level) for column, level in pairs]))
    return ends[0], ends[1]

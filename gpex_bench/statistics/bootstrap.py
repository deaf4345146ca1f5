"""Bootstrap intervals of means over samples, for many columns at once and with the same bits everywhere.

A resample is a row of counts, so that resampled means are one matrix product. Values are first written as integers of
37 bits in steps of their own column's spread: sums of such integers are exact in float64, whatever order a library adds
them in, whatever the number of threads, and whatever other columns stand beside them.

The interval in use is the expanded percentile interval (hesterberg2015teachers): the tail probability of the percentile
bootstrap is replaced by one that allows for the n - 1 degrees of freedom, so that few samples do not look too sure. The
bias-corrected and accelerated interval (BCa, efron1987better) is here to compare with; docs/statistics.md has the
coverage of both.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from gpex_bench.tables.columns import CONFIDENCE

N_RESAMPLES = 10_000
BITS = 36  # of a value in steps of its column's spread; up to 2**16 samples their sums are exact

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
    index = draws(key, n_samples, n_resamples) + n_samples * np.arange(n_resamples)[:, None]
    return (
        np.bincount(index.ravel(), minlength=n_resamples * n_samples)
        .reshape(n_resamples, n_samples)
        .astype(float)
    )


def resampled_means(
    values: Float[np.ndarray, "sample column"], times: Float[np.ndarray, "resample sample"]
) -> Float[np.ndarray, "resample column"]:
    """Return the mean of each column in each resample (`counts`), to 2**-36 of the column's spread."""
    away = values - values[:1]
    size = np.abs(away).max(0)
    step = np.ldexp(1.0, np.frexp(size)[1] - BITS)
    return values[:1] + (times @ np.round(away / step)) * (step / len(values))


def expansion(n_samples: int) -> float:
    """Return the ratio of a mean's standard error to the standard deviation of its resamples."""
    return float(np.sqrt(n_samples / (n_samples - 1)))


def tail(n_samples: int) -> float:
    """Return the tail probability of the expanded percentile interval."""
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, n_samples - 1)
    return float(stats.norm.cdf(-expansion(n_samples) * quantile))


def percentile_interval(means: Float[np.ndarray, "resample column"], n_samples: int) -> Ends:
    """Return the expanded percentile interval of resampled means; NaN for fewer than two samples."""
    if n_samples < 2:
        nothing = np.full(means.shape[1], np.nan)
        return nothing, nothing.copy()
    low, high = np.quantile(means, [tail(n_samples), 1 - tail(n_samples)], axis=0)
    return low, high


def interval(values: Float[np.ndarray, "sample"], key: str) -> tuple[float, float]:
    """Return the interval of the mean of one number per sample (`counts`)."""
    means = resampled_means(values[:, None], counts(key, len(values)))
    low, high = percentile_interval(means, len(values))
    return float(low[0]), float(high[0])


def bca_interval(
    values: Float[np.ndarray, "sample column"], means: Float[np.ndarray, "resample column"]
) -> Ends:
    """Return the bias-corrected and accelerated interval of each column's mean; a point where the values are equal."""
    centre = values.mean(0)
    below = (means < centre).mean(0) + 0.5 * (means == centre).mean(0)
    shift = stats.norm.ppf(np.clip(below, 0.5 / len(means), 1 - 0.5 / len(means)))
    away = values - centre
    spread = (away**2).sum(0)
    skew = np.where(
        spread > 0, (away**3).sum(0) / (6 * np.where(spread > 0, spread, 1) ** 1.5), 0.0
    )
    ends = []
    for side in (-1, 1):
        moved = shift + side * stats.norm.ppf((1 + CONFIDENCE) / 2)
        level = stats.norm.cdf(shift + moved / (1 - skew * moved))
        ends.append(
            np.array([np.quantile(column, at) for column, at in zip(means.T, level, strict=True)])
        )
    return ends[0], ends[1]

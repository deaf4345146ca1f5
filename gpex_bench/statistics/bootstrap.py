"""Bootstrap of means over samples: many columns at once, the same bits everywhere.

For what is no mean but made of means, such as agreement of orders; means have `means`.

A resample is a row of counts, so that resampled means are one matrix product. Values are first
written as integers of 37 bits in steps of their own column's spread: sums of such integers are
exact in float64, whatever order a library adds them in, whatever the number of threads, and
whatever the other columns are.

The interval is the expanded percentile interval (hesterberg2015teachers): the tail probability of
the percentile bootstrap is replaced by one that allows for the n - 1 degrees of freedom, so that
few samples do not look too sure.
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
    seed = np.frombuffer(digest, dtype=np.uint32)
    generator = np.random.default_rng(seed)
    return generator.integers(0, n_samples, (n_resamples, n_samples), dtype=np.int32)


@lru_cache(maxsize=4)
def counts(
    key: str, n_samples: int, n_resamples: int = N_RESAMPLES
) -> Float[np.ndarray, "resample sample"]:
    """Return how often each sample is in each resample of `draws`."""
    # One histogram for all resamples: each has a range of indices of its own.
    resample = np.arange(n_resamples)[:, None]
    index = draws(key, n_samples, n_resamples) + n_samples * resample

    flat = np.bincount(index.ravel(), minlength=n_resamples * n_samples)
    times = flat.reshape(n_resamples, n_samples)
    return times.astype(float)


def resampled_means(
    values: Float[np.ndarray, "sample column"], times: Float[np.ndarray, "resample sample"]
) -> Float[np.ndarray, "resample column"]:
    """Return the mean of each column in each resample, to 2**-36 of the column's spread.

    Args:
        values: finite.
        times: how often each sample is in each resample (`counts`).
    """
    # Differences to the first sample, so that a column far from 0 keeps its bits.
    origin = values[:1]
    away = values - origin
    size = np.abs(away).max(0)

    # The step is a power of two: dividing by it rounds nothing.
    _, exponent = np.frexp(size)
    step = np.ldexp(1.0, exponent - BITS)
    whole_steps = np.round(away / step)

    total_steps = times @ whole_steps
    return origin + total_steps * (step / len(values))


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

    edge = tail(n_samples)
    low, high = np.quantile(means, [edge, 1 - edge], axis=0)
    return low, high

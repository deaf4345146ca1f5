"""Means with intervals: of methods over samples, by the bootstrap, and of few numbers, by t."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from gpex_bench.statistics.bootstrap import (
    N_RESAMPLES,
    counts,
    percentile_interval,
    resampled_means,
)
from gpex_bench.statistics.units import Units, sample_means
from gpex_bench.tables.columns import CONFIDENCE, INTERVALS


def t_interval(
    mean: float | np.ndarray,
    error: float | np.ndarray,
    degrees: float | int,
    confidence: float = CONFIDENCE,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of Student's t interval of means, from their standard errors.

    A mean with an error of 0 is its own interval; an error of NaN gives NaN.

    Args:
        mean: one or more means.
        error: their standard errors.
        degrees: of freedom; at least 1 unless the errors are NaN.
        confidence: of the interval.
    """
    # SciPy knows no distribution without a spread.
    is_exact = np.equal(error, 0)
    spread = np.where(is_exact, 1.0, error)

    low, high = stats.t.interval(confidence, degrees, loc=mean, scale=spread)
    return np.where(is_exact, mean, low), np.where(is_exact, mean, high)


def intervals(units: Units, n_resamples: int = N_RESAMPLES) -> pd.DataFrame:
    """Return mean, 95 % interval over samples, and spread over training seeds of each method.

    The numbers of a method do not depend on the other methods.

    Returns:
        A frame with the columns `INTERVALS`, one row a method. `seed_sd` is the standard deviation
        of the training seeds' means; NaN for a single seed.
    """
    scores = units.sign * units.scores
    values = sample_means(scores)
    known = np.isfinite(values)

    rows = pd.DataFrame({"method": units.methods, "low": np.nan, "high": np.nan})
    rows["mean"] = [float(row[there].mean()) for row, there in zip(values, known, strict=True)]

    # Methods that have the same samples share their resamples, and are one matrix product.
    for there in np.unique(known, axis=0):
        alike = (known == there).all(1)
        n_samples = int(there.sum())
        times = counts(units.key, n_samples, n_resamples)
        columns = np.ascontiguousarray(values[np.ix_(alike, there)].T)
        low, high = percentile_interval(resampled_means(columns, times), n_samples)
        rows.loc[alike, "low"], rows.loc[alike, "high"] = low, high

    by_seed = sample_means(scores.transpose(0, 2, 1))
    seeds = [means[np.isfinite(means)] for means in by_seed]
    rows["seed_sd"] = [_sd(means) for means in seeds]
    rows["n_samples"] = known.sum(1)
    rows["n_seeds"] = [len(means) for means in seeds]
    return rows[list(INTERVALS)]


def _sd(values: np.ndarray) -> float:
    """Return the standard deviation; NaN for less than two numbers."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")

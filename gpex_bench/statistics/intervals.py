"""Means of the methods of one network and metric, with intervals and the spread over training seeds."""

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
    degrees: float,
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
    """Return mean, 95 % interval over samples, and standard deviation of the training seeds' means, of each method.

    The numbers of a method do not depend on the other methods.
    """
    scores = units.sign * units.scores
    values = sample_means(scores)
    known = np.isfinite(values)
    rows = pd.DataFrame({"method": units.methods, "low": np.nan, "high": np.nan})
    rows["mean"] = [float(row[there].mean()) for row, there in zip(values, known, strict=True)]
    for there in np.unique(known, axis=0):
        alike = (known == there).all(1)
        n_samples = int(there.sum())
        times = counts(units.key, n_samples, n_resamples)
        means = resampled_means(np.ascontiguousarray(values[np.ix_(alike, there)].T), times)
        rows.loc[alike, "low"], rows.loc[alike, "high"] = percentile_interval(means, n_samples)
    by_seed = [each[np.isfinite(each)] for each in sample_means(scores.transpose(0, 2, 1))]
    rows["seed_sd"] = [
        float(each.std(ddof=1)) if len(each) > 1 else float("nan") for each in by_seed
    ]
    return rows.assign(n_samples=known.sum(1), n_seeds=list(map(len, by_seed)))[list(INTERVALS)]

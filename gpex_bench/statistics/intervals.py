"""Means with intervals: of methods over samples (`means`), and of few numbers, by t."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from gpex_bench.statistics.means import means
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


def intervals(units: Units) -> pd.DataFrame:
    """Return mean, 95 % interval over samples, and spread over training seeds of each method.

    The numbers of a method do not depend on the other methods.

    Returns:
        A frame with the columns `INTERVALS`, one row a method. `seed_sd` is the standard deviation
        of the training seeds' means; NaN for a single seed.
    """
    found = means(sample_means(units.measured), units.scale.free_width)
    low, high = found.interval

    by_seed = sample_means(units.measured.transpose(0, 2, 1))
    seeds = [numbers[np.isfinite(numbers)] for numbers in by_seed]
    rows = {
        "method": units.methods,
        "mean": found.mean,
        "low": low,
        "high": high,
        "seed_sd": [_sd(numbers) for numbers in seeds],
        "n_samples": found.n.astype(int),
        "n_seeds": [len(numbers) for numbers in seeds],
    }
    return pd.DataFrame(rows)[list(INTERVALS)]


def _sd(values: np.ndarray) -> float:
    """Return the standard deviation; NaN for less than two numbers."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")

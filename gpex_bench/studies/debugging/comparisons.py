"""Curves of several trainings → means with intervals, and comparisons with showing at random."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gpex_bench.statistics.intervals import t_interval
from gpex_bench.tables.columns import CONFIDENCE, LEVEL, NETWORK

MEASURES = ("found", "accuracy")
CHANCE = "random"


def summarise(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each measure over the trainings, with a 95 % t interval.

    Args:
        curves: dataset, model, seed, ranking, shown, found, accuracy; one row per training of a
            network.

    Returns:
        One row per network, ranking, number of shown samples and measure.
    """
    keys = [*NETWORK, "ranking", "shown"]
    rows = []
    for key, part in curves.groupby(keys, sort=False):
        for measure in MEASURES:
            values = part[measure].to_numpy()
            ends = interval(values)
            rows.append((*key, measure, *ends, len(values)))

    columns = [*keys, "measure", "mean", "low", "high", "n_trainings"]
    return pd.DataFrame(rows, columns=columns)


def compare(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each measure over the curve (without its common start), and its gain.

    The gain is that over the random ranking with the same wrong labels, training by training. Its
    intervals hold together at 95 % for all rankings of a measure (Bonferroni). NaN for the random
    ranking itself, or if it is missing.
    """
    later = curves[curves["shown"] > 0]
    rows = []
    for place, part in later.groupby(list(NETWORK), sort=False):
        for measure in MEASURES:
            means = part.pivot_table(index="seed", columns="ranking", values=measure, sort=False)
            for ranking in means.columns:
                own = means[ranking].to_numpy()
                ends = interval(own)
                gain = _gain(means, ranking)
                rows.append((*place, ranking, measure, *ends, *gain, len(own)))

    columns = [*NETWORK, "ranking", "measure", "mean", "low", "high"]
    columns += ["gain", "gain_low", "gain_high", "n_trainings"]
    return pd.DataFrame(rows, columns=columns)


def interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Return mean and t interval; the ends are NaN for a single value."""
    n = len(values)
    mean = float(values.mean())
    if n < 2:
        return mean, np.nan, np.nan

    error = float(values.std(ddof=1)) / np.sqrt(n)
    low, high = t_interval(mean, error, float(n - 1), confidence)
    return mean, float(low), float(high)


def verdict(gain: float, low: float, high: float) -> str:
    """Return what a comparison shows: better, worse, not significant, or not tested.

    Args:
        gain: over the random ranking.
        low: lower end of its interval.
        high: upper end.
    """
    if np.isnan(gain) or np.isnan(low):
        return "not tested"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "not significant"


def _gain(means: pd.DataFrame, ranking: str) -> tuple[float, float, float]:
    """Return how much better a ranking is than the random one, with the interval.

    Args:
        means: [seed, ranking].
        ranking: one of the columns.
    """
    if ranking == CHANCE or CHANCE not in means:
        return np.nan, np.nan, np.nan

    own = means[ranking].to_numpy()
    by_chance = means[CHANCE].to_numpy()
    n_compared = means.shape[1] - 1
    return interval(own - by_chance, 1 - LEVEL / n_compared)

"""Curves of several trainings → means with intervals, comparisons with chance, and two sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gpex_bench.statistics.intervals import t_interval
from gpex_bench.tables.columns import CONFIDENCE, LEVEL

MEASURES = {
    "found": "share of the wrong labels found",
    "accuracy": "test accuracy",
}  # in the order of the sentences
CHANCE = "random"
PLACE = ("dataset", "model")
SUMMARY = (*PLACE, "ranking", "shown", "measure", "mean", "low", "high", "n_trainings")
COMPARED = (
    *PLACE,
    "ranking",
    "measure",
    "mean",
    "low",
    "high",
    "gain",
    "gain_low",
    "gain_high",
    "n_trainings",
)


def summary(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each measure over the trainings after each number of shown samples, with a 95 % t interval.

    Args:
        curves: dataset, model, seed, ranking, shown, found, accuracy; one row per training of a network.
    """
    rows = []
    for key, part in curves.groupby([*PLACE, "ranking", "shown"], sort=False):
        for measure in MEASURES:
            rows.append((*key, measure, *interval(part[measure].to_numpy()), len(part)))
    return pd.DataFrame(rows, columns=list(SUMMARY))


def compared(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each measure over the curve (without its common start), and its gain over chance.

    The gain is that over the random ranking with the same spoilt labels, training by training; its intervals hold
    together at 95 % for all rankings of a measure (Bonferroni). NaN for the random ranking itself, or if it is missing.
    """
    later = curves[curves["shown"] > 0]
    rows = []
    for place, part in later.groupby(list(PLACE), sort=False):
        for measure in MEASURES:
            means = part.pivot_table(index="seed", columns="ranking", values=measure, sort=False)
            n_compared = len(set(means.columns) - {CHANCE})
            for ranking in means.columns:
                own, gain = means[ranking].to_numpy(), (np.nan, np.nan, np.nan)
                if ranking != CHANCE and CHANCE in means:
                    gain = interval(own - means[CHANCE].to_numpy(), 1 - LEVEL / n_compared)
                rows.append((*place, ranking, measure, *interval(own), *gain, len(own)))
    return pd.DataFrame(rows, columns=list(COMPARED))


def interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Return mean and t interval; the ends are NaN for a single value."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, np.nan, np.nan
    error = float(values.std(ddof=1)) / np.sqrt(len(values))
    low, high = t_interval(mean, error, len(values) - 1, confidence)
    return mean, float(low), float(high)


def sentences(comparison: pd.DataFrame) -> list[str]:
    """Return two sentences for each network: on the wrong labels found, and on the accuracy."""
    said = []
    for (dataset, model), part in comparison.groupby(list(PLACE), sort=False):
        for measure, words in MEASURES.items():
            rows = part[part["measure"] == measure].sort_values(
                "mean", ascending=False, kind="stable"
            )
            ends = rows[["mean", "low", "high"]].to_numpy()
            order = ", ".join(
                f"{name} {_percent(*row)}" for name, row in zip(rows["ranking"], ends, strict=True)
            )
            said.append(
                f"{dataset}, {model}: averaged over what was shown, the {words} is {order} "
                f"(mean and 95 % interval of {rows['n_trainings'].iloc[0]} trainings); {_against_chance(rows)}."
            )
    return said


def _against_chance(rows: pd.DataFrame) -> str:
    """Say which rankings differ from showing samples at random."""
    rows = rows[rows["ranking"] != CHANCE]
    if rows["gain"].isna().all():
        return "nothing was shown at random, so that chance is not known"
    more = rows[rows["gain_low"] > 0]["ranking"].tolist()
    less = rows[rows["gain_high"] < 0]["ranking"].tolist()
    same = [name for name in rows["ranking"] if name not in (*more, *less)]
    parts = [
        f"{_names(names)} {words}"
        for names, words in (
            (more, f"{'is' if len(more) == 1 else 'are'} better than random"),
            (less, f"{'is' if len(less) == 1 else 'are'} worse than random"),
            (same, f"{'does' if len(same) == 1 else 'do'} not differ clearly from random"),
        )
        if names
    ]
    return ", ".join(parts)


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _percent(mean: float, low: float, high: float) -> str:
    """Write a share with its interval."""
    if not np.isfinite(low):
        return f"{100 * mean:.1f} %"
    return f"{100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"

"""Scores → means with intervals, and methods compared sample by sample."""

from __future__ import annotations

import math

import pandas as pd

from gpex_bench.statistics import pairs as paired
from gpex_bench.statistics.intervals import intervals
from gpex_bench.statistics.units import Scale, units
from gpex_bench.tables.columns import require
from gpex_bench.tables.order import Record, records

NEEDED = ("method", "metric", "sample", "score", "higher_is_better")
SUMMARY = (
    "metric",
    "method",
    "mean",
    "low",
    "high",
    "n_samples",
    "higher_is_better",
    "status",
    "reason",
)
PAIRS = (
    "metric",
    "method",
    "other",
    "mean_difference",
    "low",
    "high",
    "margin",
    "p_value",
    "p_holm",
    "p_equal",
    "verdict",
    "n_units",
)


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean and 95 % interval over samples of each metric and method, best first.

    The interval of the workflow (`statistics.means`); of fewer than six samples there is none. A
    method without scores by a metric is there with the reason.

    Args:
        scores: what `score` returns, or several of them below one another.

    Raises:
        ValueError: it lacks a column.
    """
    known = _known(scores)
    found = []
    for block in units(known, _scales(known)):
        table = intervals(block).assign(metric=block.place[2], status="ok", reason="")
        table["higher_is_better"] = block.sign > 0
        best_first = table["mean"].mul(-block.sign).argsort(kind="stable")
        found.append(table.iloc[best_first])

    lost = scores[scores["score"].isna()].drop_duplicates(["metric", "method"])
    if len(lost):
        found.append(
            lost.assign(mean=float("nan"), low=float("nan"), high=float("nan"), n_samples=0)
        )
    if not found:
        return pd.DataFrame(columns=list(SUMMARY))

    order = {name: place for place, name in enumerate(dict.fromkeys(scores["metric"]))}
    whole = pd.concat([table.reindex(columns=SUMMARY) for table in found], ignore_index=True)
    by_metric = whole["metric"].map(order).argsort(kind="stable")
    return whole.iloc[by_metric].reset_index(drop=True)


def pairs(scores: pd.DataFrame) -> pd.DataFrame:
    """Compare every two methods by each metric, sample by sample.

    Mean differences with intervals, tests with Holm's correction, as in the workflow
    (`statistics.pairs`).

    Args:
        scores: what `score` returns, of at least two methods.

    Returns:
        The mean difference is positive where `method` is better than `other`. `verdict` is better,
        worse, equal (the difference is within the margin) or not shown to differ.

    Raises:
        ValueError: it lacks a column.
    """
    known = _known(scores)
    found = []
    for block in units(known, _scales(known)):
        table = paired.table(block, paired.compare(block))
        if len(table):
            found.append(table)
    if not found:
        return pd.DataFrame(columns=list(PAIRS))
    return pd.concat(found, ignore_index=True)[list(PAIRS)]


def _known(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores that are there, as those of one network and seed."""
    require(scores, NEEDED, "scores")
    known = scores[scores["score"].notna()]
    return known.assign(dataset="", model="", seed=0)


def _scales(scores: pd.DataFrame) -> dict[str, Scale]:
    """Return what the scores of each metric mean; tables made by hand may hold `NEEDED` alone."""
    return {
        str(row["metric"]): Scale(
            higher_is_better=bool(row["higher_is_better"]),
            margin=_known_number(row, "margin"),
            resolution=_known_number(row, "resolution") or 0.0,
            width=_known_number(row, "width") or math.inf,
        )
        for row in records(scores.drop_duplicates("metric"))
    }


def _known_number(row: Record, name: str) -> float | None:
    """Return a number of a row, or None where it has none."""
    number = row.get(name)
    return None if pd.isna(number) else float(number)

"""Scores → means with intervals, and methods compared sample by sample."""

from __future__ import annotations

import pandas as pd

from gpex_bench.statistics import pairs as paired
from gpex_bench.statistics.intervals import intervals
from gpex_bench.statistics.units import units
from gpex_bench.tables.columns import require

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
    "median_difference",
    "effect_size",
    "p_value",
    "p_holm",
    "verdict",
    "n_units",
)


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean and 95 % interval over samples of each metric and method, best first.

    The bootstrap interval of the workflow (`statistics.bootstrap`); of one sample there is none. A
    method without scores by a metric is there with the reason.

    Args:
        scores: what `score` returns, or several of them below one another.

    Raises:
        ValueError: it lacks a column.
    """
    known = _known(scores)
    found = []
    for block in units(known, _better(known)):
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

    Wilcoxon's signed-rank test with Holm's correction, as in the workflow (`statistics.pairs`).

    Args:
        scores: what `score` returns, of at least two methods.

    Returns:
        The median difference and the effect size are positive where `method` is better than
        `other`; `verdict` is better, worse or tied, at 5 % after the correction.

    Raises:
        ValueError: it lacks a column.
    """
    known = _known(scores)
    found = []
    for block in units(known, _better(known)):
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


def _better(scores: pd.DataFrame) -> dict[str, bool]:
    """Return the direction of each metric."""
    first = scores.drop_duplicates("metric")
    return {
        str(name): bool(is_higher)
        for name, is_higher in zip(first["metric"], first["higher_is_better"], strict=True)
    }

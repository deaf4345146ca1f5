"""Curves of repaired labels → tables, figures and the page."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from gpex_bench.plots import Drawing
from gpex_bench.studies.answer import Answer, page
from gpex_bench.studies.debugging import comparisons
from gpex_bench.studies.debugging.figure import draw_debugging
from gpex_bench.studies.debugging.plan import Debugging
from gpex_bench.tables.columns import NETWORK
from gpex_bench.tables.order import ordered


def answer(curves: pd.DataFrame, plan: Debugging) -> Answer:
    """Return which ranking finds wrong labels fastest, and what that does to the network.

    Args:
        curves: dataset, model, seed, ranking, shown, found, accuracy, n_train; one row per training
            of a network.
        plan: of the study.
    """
    means = comparisons.summarise(curves)
    table = comparisons.compare(curves)

    drawings: dict[str, Drawing] = {}
    networks = []
    for (dataset, model), part in curves.groupby(list(NETWORK), sort=False):
        stem = f"{dataset}_{model}"
        n_train = int(part["n_train"].iloc[0])
        drawings[stem] = draw_debugging(_at(means, dataset, model), n_train)

        name = {"dataset": dataset, "model": model, "stem": stem}
        rankings = summarise_rankings(_at(table, dataset, model))
        networks.append(name | rankings)

    return Answer(
        table=ordered(table),
        tables={"curves": ordered(means)},
        drawings=drawings,
        sentences=page("debugging", plan=plan, networks=networks),
    )


def summarise_rankings(table: pd.DataFrame) -> dict[str, Any]:
    """Return what the page shows of one network: its rankings, and which are better than random.

    Args:
        table: of the network, as `comparisons.compare` makes it.
    """
    found = table[table["measure"] == "found"].set_index("ranking")
    accuracy = table[table["measure"] == "accuracy"].set_index("ranking")
    order = found.sort_values("mean", ascending=False, kind="stable").index

    rankings = []
    for name in order:
        on_found = _numbers("found", found, name)
        on_accuracy = _numbers("accuracy", accuracy, name)
        rankings.append({"name": name} | on_found | on_accuracy)

    return {
        "rankings": rankings,
        "n_trainings": int(table["n_trainings"].iloc[0]),
        "is_tested": bool(table["gain_low"].notna().any()),
        "finds_better": _names(rankings, "found", "better"),
        "finds_worse": _names(rankings, "found", "worse"),
        "helps_better": _names(rankings, "accuracy", "better"),
        "helps_worse": _names(rankings, "accuracy", "worse"),
    }


def _at(frame: pd.DataFrame, dataset: Hashable, model: Hashable) -> pd.DataFrame:
    """Return the rows of one network."""
    is_here = (frame["dataset"] == dataset) & (frame["model"] == model)
    return frame[is_here]


def _numbers(measure: str, table: pd.DataFrame, ranking: str) -> dict[str, Any]:
    """Return mean, interval and verdict of a ranking, in percent."""
    row = table.loc[ranking].to_dict()
    verdict = comparisons.verdict(row["gain"], row["gain_low"], row["gain_high"])
    return {
        measure: 100 * row["mean"],
        f"{measure}_low": 100 * row["low"],
        f"{measure}_high": 100 * row["high"],
        f"{measure}_verdict": verdict,
    }


def _names(rankings: list[dict[str, Any]], measure: str, verdict: str) -> list[str]:
    """Return the rankings with this verdict on a measure."""
    return [row["name"] for row in rankings if row[f"{measure}_verdict"] == verdict]

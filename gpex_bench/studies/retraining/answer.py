"""Accuracies of retrained networks → tables, figures and the page."""

from __future__ import annotations

from typing import Any

import pandas as pd

from gpex_bench.plots import Drawing
from gpex_bench.studies.answer import Answer, page
from gpex_bench.studies.retraining import comparisons
from gpex_bench.studies.retraining.figure import draw_retraining
from gpex_bench.studies.retraining.plan import Retraining
from gpex_bench.tables.columns import NETWORK
from gpex_bench.tables.order import groups, ordered, records


def answer(cells: pd.DataFrame, networks: pd.DataFrame, plan: Retraining) -> Answer:
    """Return which explainers point at what networks need.

    Args:
        cells: dataset, model, seed, method, measure, share, value, reason (`measure.retrain`).
        networks: dataset, model, seed, network, train_accuracy, test_accuracy, times.
        plan: of the study.
    """
    failed = cells[cells["measure"] == "failed"]
    ran = _without(cells, failed)
    table = comparisons.compare(ran, plan.chance)
    curves = comparisons.curves(ran)

    drawings: dict[str, Drawing] = {}
    summaries = []
    for place, curve in groups(curves, NETWORK):
        own = _at(table, place)
        stem = "_".join(map(str, place))
        drawings[stem] = draw_retraining(curve, own, plan.chance)

        summary = summarise(own, curve, _at(networks, place), plan)
        reasons = _at(failed, place).drop_duplicates("method").sort_values("method")
        summaries.append(summary | {"stem": stem, "failed": records(reasons)})

    return Answer(
        table=ordered(table),
        tables={"curves": ordered(curves), "networks": ordered(networks)},
        drawings=drawings,
        sentences=page("retraining", plan=plan, networks=summaries),
    )


def summarise(
    table: pd.DataFrame, curve: pd.DataFrame, networks: pd.DataFrame, plan: Retraining
) -> dict[str, Any]:
    """Return what the page shows of one network: accuracies, methods, who is better than chance.

    Args:
        table: of the network, as `comparisons.compare` makes it.
        curve: of the network, as `comparisons.curves` makes it.
        networks: trained on right and on permuted labels.
        plan: of the study.
    """
    # chance has no gain, so that it comes last
    losses = table[table["measure"] == "roar"]
    best_first = losses.sort_values(["gain", "method"], ascending=[False, True])
    methods = []
    for name in best_first["method"]:
        own = table[table["method"] == name]
        methods.append(_method(name, own, plan))

    permuted = networks[networks["network"] == "permuted"]
    fitted = float(permuted["train_accuracy"].min())
    whole = curve[curve["share"] == 0]
    return {
        "dataset": whole["dataset"].iloc[0],
        "model": whole["model"].iloc[0],
        "whole": records(whole)[0],
        "chance": _means(table[table["method"] == plan.chance]),
        "methods": methods,
        "better": _names(methods, "better"),
        "worse": _names(methods, "worse"),
        "is_tested": bool(losses["p_value"].notna().any()),
        "fitted": fitted,
        "is_fitted": fitted >= plan.fitted,
        "right_after_permuting": float(permuted["test_accuracy"].min()),
    }


def _names(methods: list[dict[str, Any]], verdict: str) -> list[str]:
    """Return the methods with this verdict on the accuracy that is lost."""
    return [row["method"] for row in methods if row["lost_verdict"] == verdict]


def _method(name: str, rows: pd.DataFrame, plan: Retraining) -> dict[str, Any]:
    """Return a row of the page's table: what one method reaches, and how that compares."""
    found = _means(rows)
    row: dict[str, Any] = {"method": name, "is_chance": name == plan.chance}

    for column, measure in (("lost", "roar"), ("kept", "kar")):
        own = found[measure]
        row |= {
            column: own["gain"],
            f"{column}_low": own["gain_low"],
            f"{column}_high": own["gain_high"],
            f"{column}_verdict": comparisons.verdict(own),
        }

    for measure in ("masks", "permuted", "sibling"):
        row[measure] = found[measure]["mean"]
    return row


def _means(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the rows of one method by measure."""
    return {row["measure"]: row for row in records(rows)}


def _at(frame: pd.DataFrame, place: tuple[Any, ...]) -> pd.DataFrame:
    """Return the rows of one network."""
    return frame[(frame[list(NETWORK)] == list(place)).all(axis=1)]


def _without(cells: pd.DataFrame, failed: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of methods that never failed on their network."""
    keys = [*NETWORK, "method"]
    of_cells = pd.MultiIndex.from_frame(cells[keys])
    of_failed = pd.MultiIndex.from_frame(failed[keys])
    has_failed = of_cells.isin(of_failed)
    return cells[~has_failed]

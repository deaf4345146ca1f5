"""The score tables: for each network one table for each group of metrics; rows are methods, columns metrics."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.report.distributions import outline
from gpex_bench.report.scaling import shade
from gpex_bench.tables.order import Record, control_ids, groups, method_order, metric_order, records
from gpex_bench.tables.words import interval, number, partial, wording
from gpex_bench.types import value

N_DETAILED = 1500  # cells with a distribution behind them; the rest have theirs in a CSV
Place = tuple[str, str, str]  # dataset, model, metric


@value
class Beside:
    """What stands beside the scores: cards, why a metric says nothing, how much its ranking depends on the fill."""

    methods: Sequence[Record]
    metrics: Sequence[Record]
    blank: Mapping[Place, str]  # not informative there, with the reason
    tau: Mapping[Place, str]  # lowest rank agreement over fills and outputs
    spread: Mapping[
        tuple[str, str, str, str], Mapping[str, Any]
    ]  # of single samples, by place and method


def blank(informative: pd.DataFrame | None) -> dict[Place, str]:
    """Return where a metric is not informative, with the reason."""
    if informative is None:
        return {}
    rows = records(informative[~informative["is_informative"].astype(bool)])
    return {
        (row["dataset"], row["model"], row["metric"]): str(row["reason"]).rstrip(".")
        for row in rows
    }


def least_tau(agreement: pd.DataFrame | None) -> dict[Place, str]:
    """Return the lowest Kendall's tau between two variants of each metric on each network."""
    if agreement is None or agreement.empty:
        return {}
    least = agreement.dropna(subset="tau").groupby(["dataset", "model", "metric"])["tau"].min()
    return {tuple(map(str, place)): f"{tau:.2f}" for place, tau in least.items()}  # type: ignore[misc, call-overload]


def detailed(outcomes: pd.DataFrame, metrics: Sequence[Record], headline: str) -> list[Place]:
    """Return the places whose cells get a distribution: the first metrics of each group, as many as fit."""
    scored = outcomes[outcomes["state"] == "ok"]
    measures = {record["metric"]: record["measures"] for record in metrics}
    order = metric_order(outcomes, metrics, headline)
    rank = {
        name: [other for other in order if measures[other] == measures[name]].index(name)
        for name in order
    }
    chosen: list[Place] = []
    left = N_DETAILED
    for name in sorted(order, key=lambda name: (rank[name], order.index(name))):
        here = scored[scored["metric"] == name]
        left -= len(here)
        if left < 0:
            break
        chosen += [
            (dataset, model, name)
            for dataset, model in sorted(set(zip(here["dataset"], here["model"], strict=True)))
        ]
    return chosen


def score_tables(outcomes: pd.DataFrame, headline: str, beside: Beside) -> list[dict[str, Any]]:
    """Return for each network its tables, the one with the headline first; methods are in the order of the headline.

    Args:
        outcomes: with the columns of `scaling.scaled`.
        headline: run id of the metric that decides the order.
        beside: what else is known.
    """
    methods, metrics = beside.methods, beside.metrics
    measures = {record["metric"]: record["measures"] for record in metrics}
    found = []
    for (dataset, model), here in groups(outcomes, ["dataset", "model"]):
        columns = metric_order(here, metrics, headline)
        rows = method_order(here, methods, metrics, headline)
        tables, absent = [], []
        for group in dict.fromkeys(measures[name] for name in columns):
            part = here[here["metric"].isin([name for name in columns if measures[name] == group])]
            if (part["state"] == "not_applicable").all():
                absent.append({"group": group, "reasons": sorted(set(part["reason"]))})
                continue
            tables.append(
                _table(part, [name for name in columns if measures[name] == group], rows, beside)
            )
        found.append({"dataset": dataset, "model": model, "tables": tables, "absent": absent})
    return found


def _table(
    part: pd.DataFrame,
    columns: Sequence[str],
    order: Sequence[str],
    beside: Beside,
) -> dict[str, Any]:
    """Return the table of one group of metrics on one network, without rows and columns of which nothing applies."""
    dead = {
        key: {
            str(name)
            for name, rows in part.groupby(key)
            if (rows["state"] == "not_applicable").all()
        }
        for key in ("method", "metric")
    }
    left_out = {
        name: _reasons(part[part["metric"] == name]) for name in columns if name in dead["metric"]
    }
    columns = [name for name in columns if name not in left_out]
    part = part[part["metric"].isin(columns)]
    dead_methods = {
        name: _reasons(part[part["method"] == name]) for name in order if name in dead["method"]
    }
    cards, kinds = (
        {record[key]: record for record in known}
        for key, known in (("metric", beside.metrics), ("method", beside.methods))
    )
    ours = control_ids(beside.methods)
    table = {(row["method"], row["metric"]): row for row in records(part)}
    place = (str(part["dataset"].iloc[0]), str(part["model"].iloc[0]))
    heads = [
        {
            **cards[name],
            "blank": beside.blank.get((*place, name), ""),
            "tau": beside.tau.get((*place, name), ""),
        }
        for name in columns
    ]
    rows = [
        {
            "method": method,
            "kind": kinds[method]["kind"],
            "is_control": method in ours,
            "cells": _cells([table[method, name] for name in columns], beside),
        }
        for method in order
        if method not in dead_methods
    ]
    said = notes(
        part, left_out | dead_methods, set(part.loc[part["state"] == "ok", "method"]) - ours
    )
    return {"group": cards[columns[0]]["measures"], "columns": heads, "rows": rows, "notes": said}


def _reasons(rows: pd.DataFrame) -> str:
    return "; ".join(sorted(set(rows["reason"])))


def _cells(rows: Sequence[Mapping[str, Any]], beside: Beside) -> list[dict[str, Any]]:
    """Return the cells of a row; one wide cell where all say the same words."""
    cells = [cell(row, beside) for row in rows]
    said = {(one["kind"], one.get("text")) for one in cells}
    if len(cells) > 1 and cells[0]["kind"] != "ok" and len(said) == 1:
        return [{**cells[0], "span": len(cells)}]
    return cells


def cell(row: Mapping[Any, Any], beside: Beside) -> dict[str, Any]:
    """Return what one cell of a score table shows. Without the state ok there is no number in it."""
    if row["state"] != "ok":
        kind = "na" if row["state"] == "not_applicable" else "failed"
        return {"kind": kind, "text": wording(row["state"], row["reason"]), "value": "", "span": 1}
    place = (row["dataset"], row["model"], row["metric"])
    mean, ends = interval(row["mean"], row["low"], row["high"])
    size = max(abs(row[name]) for name in ("mean", "low", "high") if row[name] == row[name])
    is_blank = place in beside.blank
    detail = beside.spread.get((*place, row["method"]))
    return {
        "kind": "ok",
        "span": 1,
        "value": f"{row['mean']:.8g}",
        "mean": mean,
        "ends": ends,
        "partial": partial(row),
        "mark": "" if is_blank else row["mark"],
        "shade": "" if is_blank else shade(row["scaled"]),
        "scaled": "" if row["scaled"] != row["scaled"] else f"{round(row['scaled'], 2) + 0:.2f}",
        "detail": None if detail is None else _detail(row, detail, size),
    }


def _detail(row: Mapping[Any, Any], spread: Mapping[str, Any], size: float) -> dict[str, Any]:
    """Return what stands behind a cell: the distribution over samples, the seeds, the distance from the best."""
    seeds = (
        f"means of the training seeds ±{number(row['seed_sd'], size)} (sd)"
        if row["n_seeds"] > 1
        else "one seed"
    )
    far = ""
    if not row["is_best"] and row["p_value"] == row["p_value"]:
        chance = "p < 0.001" if row["p_value"] < 0.001 else f"p = {row['p_value']:.3f}"
        way = "behind" if row["difference"] > 0 else "ahead of"
        far = f"{number(abs(row['difference']), size)} {way} the best, {chance}"
    marks = {
        name: number(spread[name], size) for name in ("minimum", "q10", "median", "q90", "maximum")
    }
    return {
        "n": int(spread["n_samples"]),
        "path": outline(spread["bins"]),
        "seeds": seeds,
        "far": far,
        **marks,
    }


def notes(part: pd.DataFrame, left_out: Mapping[str, str], compared: Collection[str]) -> list[str]:
    """Say what a reader of the table should know: sample counts, what is left out, a best of one."""
    scored = part[part["state"] == "ok"]
    sizes = scored.groupby("metric")["n_samples"].max()
    usual = int(sizes.max()) if len(sizes) else 0
    fewer = [f"{name}: {size:.0f}" for name, size in sizes.items() if size < usual]
    result = [
        f"Intervals are over {usual} test samples{f' ({chr(44).join(fewer)})' if fewer else ''}."
    ]
    reasons: dict[str, list[str]] = {}
    for name, reason in sorted(left_out.items()):
        reasons.setdefault(reason, []).append(name)
    texts = [f"{', '.join(names)} (n/a: {reason})" for reason, names in sorted(reasons.items())]
    result += [f"Left out because nothing in them applies: {'; '.join(texts)}."] if texts else []
    if len(compared) == 1:
        result.append(
            f"Only {next(iter(compared))} is compared here, with nothing but controls: best says no more than that."
        )
    return result

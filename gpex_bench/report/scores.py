"""The score tables: for each network one table a group of metrics; rows are methods."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.report.distributions import QUANTILES, outline
from gpex_bench.report.overview import SIGNS
from gpex_bench.tables.columns import PLACE
from gpex_bench.tables.order import (
    Record,
    control_ids,
    groups,
    method_order,
    metric_order,
    records,
)
from gpex_bench.tables.words import USABLE, interval, number, partial, wording
from gpex_bench.types import value

# Cells with a distribution behind them; the others have theirs in a CSV.
N_DETAILED = 1500

Place = tuple[str, str, str]  # dataset, model, metric


@value
class Context:
    """What is known besides the scores."""

    methods: Sequence[Record]
    metrics: Sequence[Record]
    # run id of the metric that decides the order
    headline: str
    # where a metric is not usable, with the reason
    blank: Mapping[Place, str]
    # where verdicts against blind controls mean nothing
    uncoloured: Collection[Place]
    # lowest rank agreement over fills and outputs
    tau: Mapping[Place, str]
    # distribution over samples by place and method
    spread: Mapping[tuple[str, str, str, str], Record]
    # the class of a cell by place and method (`overview.SIGNS`)
    against_blind: Mapping[tuple[str, str, str, str], str]


def blank(informative: pd.DataFrame | None) -> dict[Place, str]:
    """Return where a metric is not usable, with the reason."""
    if informative is None:
        return {}

    is_blank = ~informative["is_informative"].astype(bool)
    return _reasons(informative[is_blank])


def without_verdicts(informative: pd.DataFrame | None) -> dict[Place, str]:
    """Return where maps that look at nothing can be perfect, or the metric is not usable at all.

    Verdicts against blind controls mean nothing there.
    """
    if informative is None or "use" not in informative:
        return blank(informative)
    return _reasons(informative[informative["use"] != USABLE])


def _reasons(rows: pd.DataFrame) -> dict[Place, str]:
    """Return the reason of each place."""
    return {
        (row["dataset"], row["model"], row["metric"]): str(row["reason"]).rstrip(".")
        for row in records(rows)
    }


def against_blind(found: pd.DataFrame) -> dict[tuple[str, str, str, str], str]:
    """Return the class of each cell, which follows its verdict against the blind controls."""
    columns = [found[name] for name in (*PLACE, "method", "against_blind")]
    return {
        (dataset, model, metric, method): SIGNS[text][0]
        for dataset, model, metric, method, text in zip(*columns, strict=True)
    }


def least_tau(agreement: pd.DataFrame | None) -> dict[Place, str]:
    """Return the lowest Kendall's tau between two variants of each metric on each network."""
    if agreement is None or agreement.empty:
        return {}

    known = agreement.dropna(subset="tau")
    by_place = known.groupby(list(PLACE))
    least = by_place["tau"].min().reset_index()
    return {
        (row["dataset"], row["model"], row["metric"]): f"{row['tau']:.2f}" for row in records(least)
    }


def detailed(outcomes: pd.DataFrame, metrics: Sequence[Record], headline: str) -> list[Place]:
    """Return the places whose cells get a distribution: as many as `N_DETAILED` cells allow.

    The first metric of each group comes first, then the second of each, and so on.
    """
    scored = outcomes[outcomes["state"] == "ok"]
    measures = {record["metric"]: record["measures"] for record in metrics}

    order = metric_order(outcomes, metrics, headline)
    place_in_group: dict[str, int] = {}
    for group in set(measures.values()):
        members = [name for name in order if measures[name] == group]
        place_in_group |= {name: place for place, name in enumerate(members)}

    chosen: list[Place] = []
    n_left = N_DETAILED
    # Sorting is stable: within a place of the groups, the order of the metrics is kept.
    for name in sorted(order, key=place_in_group.__getitem__):
        here = scored[scored["metric"] == name]
        n_left -= len(here)
        if n_left < 0:
            break
        networks = sorted(set(zip(here["dataset"], here["model"], strict=True)))
        chosen += [(dataset, model, name) for dataset, model in networks]
    return chosen


def score_tables(outcomes: pd.DataFrame, context: Context) -> list[dict[str, Any]]:
    """Return for each network its tables, the one with the headline first.

    Methods are in the order of the headline metric.

    Args:
        outcomes: one row for each dataset, model, method and metric.
        context: what is known besides the scores.
    """
    measures = {record["metric"]: record["measures"] for record in context.metrics}

    result = []
    for (dataset, model), here in groups(outcomes, ["dataset", "model"]):
        metrics = metric_order(here, context.metrics, context.headline)
        methods = method_order(here, context.methods, context.metrics, context.headline)

        tables = []
        absent = []
        for group in dict.fromkeys(measures[name] for name in metrics):
            members = [name for name in metrics if measures[name] == group]
            part = here[here["metric"].isin(members)]
            if (part["state"] == "not_applicable").all():
                absent.append({"group": group, "reasons": sorted(set(part["reason"]))})
            else:
                tables.append(_table(part, members, methods, context))

        result.append({"dataset": dataset, "model": model, "tables": tables, "absent": absent})
    return result


def _table(
    part: pd.DataFrame, metrics: Sequence[str], methods: Sequence[str], context: Context
) -> dict[str, Any]:
    """Return the table of one group of metrics on one network.

    Rows and columns in which nothing applies are left out, and named in the notes.
    """
    left_out = _inapplicable(part, "metric")
    metrics = [name for name in metrics if name not in left_out]
    part = part[part["metric"].isin(metrics)]

    # A method may apply to metrics that are left out only: look at the columns that are shown.
    without_scores = _inapplicable(part, "method")
    methods = [name for name in methods if name not in without_scores]

    controls = control_ids(context.methods)
    kinds = {record["method"]: record["kind"] for record in context.methods}
    by_key = {(row["method"], row["metric"]): row for row in records(part)}
    rows = [
        {
            "method": method,
            "kind": kinds[method],
            "is_control": method in controls,
            "cells": _cells([by_key[method, metric] for metric in metrics], context),
        }
        for method in methods
    ]

    columns = _columns(part, metrics, context)
    compared = set(part.loc[part["state"] == "ok", "method"]) - controls
    return {
        "group": columns[0]["measures"],
        "columns": columns,
        "rows": rows,
        "notes": notes(part, left_out | without_scores, compared),
    }


def _inapplicable(part: pd.DataFrame, key: str) -> dict[str, str]:
    """Return the methods or metrics of which nothing applies, with the reasons."""
    return {
        str(name): "; ".join(sorted(set(rows["reason"])))
        for name, rows in part.groupby(key)
        if (rows["state"] == "not_applicable").all()
    }


def _columns(part: pd.DataFrame, metrics: Sequence[str], context: Context) -> list[dict[str, Any]]:
    """Return the card of each metric, and what is known of it on this network."""
    cards = {record["metric"]: record for record in context.metrics}
    dataset = str(part["dataset"].iloc[0])
    model = str(part["model"].iloc[0])

    return [
        {
            **cards[name],
            "blank": context.blank.get((dataset, model, name), ""),
            "tau": context.tau.get((dataset, model, name), ""),
        }
        for name in metrics
    ]


def _cells(rows: Sequence[Record], context: Context) -> list[dict[str, Any]]:
    """Return the cells of a row; one wide cell where all hold the same words."""
    cells = [cell(row, context) for row in rows]
    contents = {(one["kind"], one.get("text")) for one in cells}

    is_wide = len(cells) > 1 and cells[0]["kind"] != "ok" and len(contents) == 1
    return [{**cells[0], "span": len(cells)}] if is_wide else cells


def cell(row: Record, context: Context) -> dict[str, Any]:
    """Return what one cell of a score table shows; no number unless the state is ok."""
    if row["state"] != "ok":
        kind = "na" if row["state"] == "not_applicable" else "failed"
        return {"kind": kind, "text": wording(row["state"], row["reason"]), "value": "", "span": 1}

    place = (row["dataset"], row["model"], row["metric"])
    is_blank = place in context.blank
    has_verdict = place not in context.uncoloured
    shade = context.against_blind.get((*place, row["method"]), "")
    mean, ends = interval(row["mean"], row["low"], row["high"])
    return {
        "kind": "ok",
        "span": 1,
        "value": f"{row['mean']:.8g}",
        "mean": mean,
        "ends": ends,
        "partial": partial(row),
        "mark": "" if is_blank else row["mark"],
        "shade": shade if has_verdict else "",
        "detail": _detail(row, context.spread.get((*place, row["method"]))),
    }


def _detail(row: Record, spread: Record | None) -> dict[str, Any] | None:
    """Return what is behind a cell: distribution over samples, seeds, distance from the best."""
    if spread is None:
        return None

    sizes = [abs(row[name]) for name in ("mean", "low", "high")]
    scale = max(size for size in sizes if not math.isnan(size))
    is_tested = not math.isnan(row["p_value"])
    is_compared = is_tested and not row["is_best"]
    return {
        "n": int(spread["n_samples"]),
        "path": outline(spread["bins"]),
        "seed_sd": number(row["seed_sd"], scale) if row["n_seeds"] > 1 else "",
        "difference": number(abs(row["difference"]), scale) if is_compared else "",
        "is_behind": bool(row["difference"] > 0),
        "p_value": row["p_value"],
        **{name: number(spread[name], scale) for name in QUANTILES},
    }


def notes(
    part: pd.DataFrame, left_out: Mapping[str, str], compared: Collection[str]
) -> dict[str, Any]:
    """Return what a reader of a table should know.

    Args:
        part: the outcomes in the table.
        left_out: methods and metrics of which nothing applies, with the reason.
        compared: methods with a score, without controls.

    Returns:
        The number of samples, the metrics with `fewer` of them, what is `left_out` by reason, and
        the `only` method where there is no second one.
    """
    scored = part[part["state"] == "ok"]
    sizes = scored.groupby("metric")["n_samples"].max()
    n_samples = int(sizes.max()) if len(sizes) else 0
    fewer = sizes[sizes < n_samples]

    by_reason: dict[str, list[str]] = {}
    for name, reason in sorted(left_out.items()):
        by_reason.setdefault(reason, []).append(name)

    return {
        "n_samples": n_samples,
        "fewer": {str(name): int(size) for name, size in fewer.items()},
        "left_out": dict(sorted(by_reason.items())),
        "only": next(iter(compared)) if len(compared) == 1 else "",
    }

"""The tables of the report: frames turned into the rows and cells that the template writes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.frames import (
    RANDOM,
    Record,
    blocks,
    controls,
    groups,
    interval,
    method_order,
    metric_order,
    number,
    partial,
    records,
    wording,
)

MARKS = {"best": "best", "tied": "tied", "": ""}


def counts(cells: pd.DataFrame, outcomes: pd.DataFrame) -> dict[str, int]:
    """Count what was run."""
    status = cells["status"].value_counts()
    bad = {str(name): int(number) for name, number in status.items() if name not in ("ok", "not_applicable")}
    return {
        "datasets": cells["dataset"].nunique(),
        "networks": len(cells[["dataset", "model", "seed"]].drop_duplicates()),
        "seeds": cells["seed"].nunique(),
        "methods": cells["method"].nunique(),
        "metrics": outcomes["metric"].nunique(),
        "cells": len(cells),
        "ok": int(status.get("ok", 0)),
        "failed": sum(bad.values()),
        "not_applicable": int(status.get("not_applicable", 0)),
        "pairs": len(outcomes),
        "pairs_not_applicable": int((outcomes["state"] == "not_applicable").sum()),
        "missing": int((outcomes["state"] == "missing").sum()),
    }


def failures(cells: pd.DataFrame) -> list[dict[str, str]]:
    """List failed cells, seeds with the same fate together."""
    bad = cells[~cells["status"].isin(["ok", "not_applicable"])].assign(reason=lambda frame: frame["reason"].fillna(""))
    listed = []
    for (dataset, model, method, status, reason), part in groups(
        bad, ["dataset", "model", "method", "status", "reason"]
    ):
        seeds = ", ".join(str(seed) for seed in sorted(part["seed"]))
        text = wording(status, reason)
        listed.append({"dataset": dataset, "model": model, "method": method, "seeds": seeds, "text": text})
    return listed


def failed_metrics(cells: pd.DataFrame, outcomes: pd.DataFrame) -> list[dict[str, Any]]:
    """List metrics that failed on a method whose cells did not, with the same reason together."""
    place = ["dataset", "model", "method"]
    fine = cells.loc[cells["status"] == "ok", place].drop_duplicates()
    bad = outcomes[~outcomes["state"].isin(["ok", "not_applicable", "missing"])].merge(fine, on=place)
    return [
        {
            "dataset": dataset,
            "model": model,
            "method": method,
            "metrics": sorted(part["metric"]),
            "text": wording(state, reason),
        }
        for (dataset, model, method, state, reason), part in groups(bad, [*place, "state", "reason"])
    ]


def inapplicable(outcomes: pd.DataFrame) -> list[dict[str, str]]:
    """List pairs that do not apply, metrics with the same reason together."""
    pairs = outcomes[outcomes["state"] == "not_applicable"]
    return [
        {
            "dataset": dataset,
            "model": model,
            "method": method,
            "metrics": ", ".join(sorted(part["metric"])),
            "reason": reason,
        }
        for (dataset, model, method, reason), part in groups(pairs, ["dataset", "model", "method", "reason"])
    ]


def score_tables(
    outcomes: pd.DataFrame, methods: Sequence[Record], metrics: Sequence[Record], headline: str
) -> list[dict[str, Any]]:
    """Return the score tables of each dataset and model: rows are methods, best first; columns are metrics."""
    tables = []
    for (dataset, model), here in groups(outcomes, ["dataset", "model"]):
        for part, left_out in blocks(here, metrics):
            columns = metric_order(part, metrics, headline)
            key = headline if headline in columns else columns[0]
            table = {(row["method"], row["metric"]): row for row in records(part)}
            rows = [
                {
                    "method": method,
                    "is_control": method in controls(methods),
                    "cells": [cell(table[method, metric]) for metric in columns],
                }
                for method in method_order(part, methods, metrics, key)
            ]
            heads = [next(record for record in metrics if record["metric"] == name) for name in columns]
            said = notes(part, left_out, methods)
            tables.append({"dataset": dataset, "model": model, "columns": heads, "rows": rows, "notes": said})
    return tables


def cell(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what one cell of a score table shows. Without the state ok there is no number in it."""
    if row["state"] != "ok":
        kind = "na" if row["state"] == "not_applicable" else "failed"
        return {"kind": kind, "text": wording(row["state"], row["reason"]), "value": ""}
    mean, ends = interval(row["mean"], row["low"], row["high"])
    size = max(abs(row[name]) for name in ("mean", "low", "high") if row[name] == row[name])
    spread = f"seeds ±{number(row['seed_sd'], size)}" if row["n_seeds"] > 1 else "one seed"
    return {
        "kind": "ok",
        "value": f"{row['mean']:.8g}",
        "mean": mean,
        "ends": ends,
        "spread": partial(row) or spread,
        "partial": bool(partial(row)),
        "mark": MARKS[row["mark"]],
    }


def notes(part: pd.DataFrame, left_out: Mapping[str, str], methods: Sequence[Record]) -> list[str]:
    """Say what a reader of the table should know: sample counts, what is left out, scores that tell nothing."""
    scored = part[part["state"] == "ok"]
    sizes = scored.groupby("metric")["n_samples"].max()
    usual = int(sizes.max()) if len(sizes) else 0
    fewer = [f"{name}: {size:.0f}" for name, size in sizes.items() if size < usual]
    result = [f"Intervals are over {usual} test samples{f' ({chr(44).join(fewer)})' if fewer else ''}."]
    if left_out:
        reasons: dict[str, list[str]] = {}
        for name, reason in sorted(left_out.items()):
            reasons.setdefault(reason, []).append(name)
        texts = [f"{', '.join(names)} (n/a: {reason})" for reason, names in sorted(reasons.items())]
        result.append(f"Left out because nothing in them applies: {'; '.join(texts)}.")
    compared = sorted(set(scored["method"]) - controls(methods))
    if len(compared) == 1:
        result.append(f"Only {compared[0]} is compared here, with nothing but controls: best says no more than that.")
    blind = sorted(
        scored.loc[scored["method"].isin(list(controls(methods, RANDOM))) & scored["is_best_group"], "metric"]
    )
    if blind:
        result.append(f"No information here: a random control cannot be told from the best by {', '.join(blind)}.")
    return result


def cost_table(efficiency: pd.DataFrame, costs: pd.DataFrame, cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows per sample, seconds per sample and peak memory of each method's ok cells, cheapest first."""
    place = ["dataset", "model", "method"]
    is_ok = costs.merge(cells.loc[cells["status"] == "ok", [*place, "seed"]], on=[*place, "seed"])
    measured = is_ok.groupby(place).agg(seconds=("wall_seconds", "sum"), peak=("peak_bytes", "max"))
    samples = cells[cells["status"] == "ok"].groupby(place)["n_samples"].sum()
    rows = []
    for row in records(efficiency.sort_values(["dataset", "model", "rows_per_sample", "method"])):
        key = (row["dataset"], row["model"], row["method"])
        mean, ends = interval(row["mean"], row["low"], row["high"])
        known = key in measured.index
        seconds = measured.loc[key, "seconds"] / samples.loc[key] if known else float("nan")
        memory = f"{measured.loc[key, 'peak'] / 1e6:,.0f}" if known else ""
        shown = {
            "rows": f"{row['rows_per_sample']:,.4g}",
            "seconds": number(seconds) if known else "",
            "memory": memory,
        }
        rows.append(row | shown | {"score": mean, "ends": ends})
    return rows


def method_cards(methods: Sequence[Record], outcomes: pd.DataFrame, headline: str) -> list[dict[str, Any]]:
    """Return what is known about each method, with its headline score on each dataset; controls last."""
    chosen = outcomes[outcomes["metric"] == headline].sort_values(["dataset", "model"])
    cards = []
    for record in sorted(methods, key=lambda record: (record["kind"] == "control", record["kind"], record["method"])):
        rows = records(chosen[chosen["method"] == record["method"]])
        cards.append(
            {**record, "scores": [{"dataset": row["dataset"], "model": row["model"], **cell(row)} for row in rows]}
        )
    return cards


def by_section(pictures: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the pictures of each section, by dataset and title."""
    order = sorted(pictures, key=lambda picture: (picture["dataset"], picture["title"]))
    return {name: [picture for picture in order if picture["section"] == name] for name in names}


def listed(provenance: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Return provenance as (name, text, is_long), mappings written one entry a line."""
    rows = []
    for name, content in provenance.items():
        is_mapping = isinstance(content, Mapping)
        text = "\n".join(f"{key}: {content[key]}" for key in content) if is_mapping else str(content)
        rows.append((str(name), text, "\n" in text))
    return rows

"""The tables of the report: frames turned into the rows and cells that the template writes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.tables.order import groups, records
from gpex_bench.tables.words import interval, number, wording


def counts(cells: pd.DataFrame, outcomes: pd.DataFrame) -> dict[str, int]:
    """Count what was run."""
    status = cells["status"].value_counts()
    bad = {
        str(name): int(number)
        for name, number in status.items()
        if name not in ("ok", "not_applicable")
    }
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
    bad = cells[~cells["status"].isin(["ok", "not_applicable"])].assign(
        reason=lambda frame: frame["reason"].fillna("")
    )
    listed = []
    for (dataset, model, method, status, reason), part in groups(
        bad, ["dataset", "model", "method", "status", "reason"]
    ):
        seeds = ", ".join(str(seed) for seed in sorted(part["seed"]))
        text = wording(status, reason)
        listed.append(
            {"dataset": dataset, "model": model, "method": method, "seeds": seeds, "text": text}
        )
    return listed


def failed_metrics(cells: pd.DataFrame, outcomes: pd.DataFrame) -> list[dict[str, Any]]:
    """List metrics that failed on a method whose cells did not, with the same reason together."""
    place = ["dataset", "model", "method"]
    fine = cells.loc[cells["status"] == "ok", place].drop_duplicates()
    bad = outcomes[~outcomes["state"].isin(["ok", "not_applicable", "missing"])].merge(
        fine, on=place
    )
    return [
        {
            "dataset": dataset,
            "model": model,
            "method": method,
            "metrics": sorted(part["metric"]),
            "text": wording(state, reason),
        }
        for (dataset, model, method, state, reason), part in groups(
            bad, [*place, "state", "reason"]
        )
    ]


def inapplicable(outcomes: pd.DataFrame) -> list[dict[str, Any]]:
    """List pairs that do not apply by reason: which methods with which metrics, where, and how many pairs."""
    pairs = outcomes[outcomes["state"] == "not_applicable"]
    if pairs.empty:
        return []
    every = {name: set(outcomes[name]) for name in ("method", "metric")}
    pairs = pairs.assign(
        networks=pairs["dataset"] + " (" + pairs["model"] + ")", pairs=1
    ).sort_values("networks")
    for keys, joined in (
        (("method", "metric", "reason"), "networks"),
        (("method", "networks", "reason"), "metric"),
    ):
        pairs = (
            pairs.sort_values(joined)
            .groupby(list(keys))
            .agg({joined: ", ".join, "pairs": "sum"})
            .reset_index()
        )
    rows = [
        {
            "reason": reason,
            "networks": networks,
            "metric": metric,
            "pairs": int(part["pairs"].sum()),
        }
        | {"method": ", ".join(sorted(part["method"]))}
        for (reason, networks, metric), part in groups(pairs, ["reason", "networks", "metric"])
    ]
    for row in rows:
        row |= {name: "all" for name, known in every.items() if set(row[name].split(", ")) == known}
    return sorted(
        rows, key=lambda row: (-row["pairs"], row["reason"], row["networks"], row["metric"])
    )


def cost_table(
    efficiency: pd.DataFrame, costs: pd.DataFrame, cells: pd.DataFrame
) -> list[dict[str, Any]]:
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


def by_section(
    pictures: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, list[Mapping[str, Any]]]:
    """Return the pictures of each section, by dataset and title."""
    order = sorted(pictures, key=lambda picture: (picture["dataset"], picture["title"]))
    return {name: [picture for picture in order if picture["section"] == name] for name in names}


def listed(provenance: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Return provenance as (name, text, is_long), mappings written one entry a line."""
    rows = []
    for name, content in provenance.items():
        is_mapping = isinstance(content, Mapping)
        text = (
            "\n".join(f"{key}: {content[key]}" for key in content) if is_mapping else str(content)
        )
        rows.append((str(name), text, "\n" in text))
    return rows

"""The tables of the report: frames turned into the rows that the templates write out."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.tables.order import groups, records
from gpex_bench.tables.words import FINE, WITHOUT_NETWORK, interval, number, wording

CELL = ["dataset", "model", "method"]


def counts(cells: pd.DataFrame, outcomes: pd.DataFrame) -> dict[str, int]:
    """Count what was run."""
    n_ok = int((cells["status"] == "ok").sum())
    n_inapplicable = int((cells["status"] == "not_applicable").sum())

    return {
        "datasets": cells["dataset"].nunique(),
        "methods": cells["method"].nunique(),
        "metrics": outcomes["metric"].nunique(),
        "cells": len(cells),
        "ok": n_ok,
        "failed": len(cells) - n_ok - n_inapplicable,
        "not_applicable": n_inapplicable,
        "pairs": len(outcomes),
        "pairs_not_applicable": int((outcomes["state"] == "not_applicable").sum()),
        "missing": int((outcomes["state"] == "missing").sum()),
    }


def networks_run(cells: pd.DataFrame, given: Collection[tuple[str, str]] = ()) -> str:
    """Say how many networks were explained, and which of them no seed made.

    Args:
        cells: one row per network, seed and method.
        given: dataset and model of those that were brought along.
    """
    networks = cells[["dataset", "model", "seed"]].drop_duplicates()
    is_given = [
        place in given for place in zip(networks["dataset"], networks["model"], strict=True)
    ]
    n_given = sum(is_given)
    trained = networks[[not each for each in is_given]]

    parts = []
    if len(trained):
        n_seeds = trained["seed"].nunique()
        seeds = "training seed" if n_seeds == 1 else "training seeds"
        word = "network" if len(trained) == 1 else "networks"
        parts.append(f"{len(trained)} trained {word} ({n_seeds} {seeds})")
    if n_given and not parts:
        return f"{n_given} {'network' if n_given == 1 else 'networks'} (given, not trained)"
    if n_given:
        parts.append(f"{n_given} given, not trained")
    return " and ".join(parts)


def failures(cells: pd.DataFrame) -> list[dict[str, str]]:
    """List failed cells; seeds that failed for the same reason share a row.

    So do all methods on a network that cannot be used.
    """
    failed = cells[~cells["status"].isin(FINE)]
    failed = failed.assign(reason=failed["reason"].fillna(""))
    is_of_all = failed["reason"].str.startswith(WITHOUT_NETWORK)
    failed = failed.assign(method=failed["method"].mask(is_of_all, "all methods"))

    return [
        {
            "dataset": dataset,
            "model": model,
            "method": method,
            "seeds": ", ".join(str(seed) for seed in sorted(set(part["seed"]))),
            "text": wording(status, reason),
        }
        for (dataset, model, method, status, reason), part in groups(
            failed, [*CELL, "status", "reason"]
        )
    ]


def sums(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """List how far sums are from what the methods promise, the worst first.

    Those that claim a sum come first; of the others it is a property, and no fault.
    """
    if "worst_missing" not in cells:
        return []
    known = cells[cells["worst_missing"].notna()]

    rows = []
    for (dataset, model, method), part in groups(known, CELL):
        allowed = part["allowed_missing"].iloc[0]
        rows.append(
            {
                "dataset": dataset,
                "model": model,
                "method": method,
                "worst": float(part["worst_missing"].max()),
                "median": float(part["median_missing"].median()),
                "allowed": None if pd.isna(allowed) else float(allowed),
                "is_kept": pd.isna(allowed) or bool(part["worst_missing"].max() <= allowed),
            }
        )
    return sorted(rows, key=lambda row: (row["allowed"] is None, -row["worst"], row["method"]))


def failed_metrics(cells: pd.DataFrame, outcomes: pd.DataFrame) -> list[dict[str, Any]]:
    """List metrics that failed on a method with ok cells; those with one reason share a row."""
    with_cells = cells.loc[cells["status"] == "ok", CELL].drop_duplicates()
    failed = outcomes[~outcomes["state"].isin(["ok", "not_applicable", "missing"])]
    failed = failed.merge(with_cells, on=CELL)

    return [
        {
            "dataset": dataset,
            "model": model,
            "method": method,
            "metrics": sorted(part["metric"]),
            "text": wording(state, reason),
        }
        for (dataset, model, method, state, reason), part in groups(
            failed, [*CELL, "state", "reason"]
        )
    ]


def inapplicable(outcomes: pd.DataFrame) -> list[dict[str, Any]]:
    """List pairs of method and metric that do not apply, by reason; the largest row first."""
    pairs = outcomes[outcomes["state"] == "not_applicable"]
    if pairs.empty:
        return []

    # Pairs that differ in one column only are joined: first in the network, then in the metric,
    # then in the method. A row then covers all combinations of its three lists.
    pairs = pairs.assign(networks=pairs["dataset"] + " (" + pairs["model"] + ")", pairs=1)
    pairs = _joined(pairs, "networks", ["method", "metric", "reason"])
    pairs = _joined(pairs, "metric", ["method", "networks", "reason"])
    pairs = _joined(pairs, "method", ["reason", "networks", "metric"])

    rows = [
        {
            "reason": row["reason"],
            "networks": ", ".join(row["networks"]),
            "method": _names(row["method"], set(outcomes["method"])),
            "metric": _names(row["metric"], set(outcomes["metric"])),
            "pairs": row["pairs"],
        }
        for row in records(pairs)
    ]
    return sorted(
        rows, key=lambda row: (-row["pairs"], row["reason"], row["networks"], row["metric"])
    )


def _joined(pairs: pd.DataFrame, column: str, keys: list[str]) -> pd.DataFrame:
    """Return the pairs with the entries of one column as a tuple where all keys are the same."""
    by_key = pairs.sort_values(column).groupby(keys)
    return by_key.agg({column: tuple, "pairs": "sum"}).reset_index()


def _names(names: tuple[str, ...], every: set[str]) -> str:
    """Write names as a list, or "all" where none is missing."""
    return "all" if set(names) == every else ", ".join(names)


def cost_table(
    efficiency: pd.DataFrame, costs: pd.DataFrame, cells: pd.DataFrame
) -> list[dict[str, Any]]:
    """Return rows per sample, seconds per sample and peak memory of each method, cheapest first.

    Seconds and memory are those of cells that are ok.
    """
    ok = cells[cells["status"] == "ok"]
    ok_costs = costs.merge(ok[[*CELL, "seed"]], on=[*CELL, "seed"])
    measured = ok_costs.groupby(CELL).agg(
        seconds=("wall_seconds", "sum"), peak=("peak_bytes", "max")
    )
    n_samples = ok.groupby(CELL)["n_samples"].sum()

    rows = []
    for row in records(efficiency.sort_values(["dataset", "model", "rows_per_sample", "method"])):
        key = (row["dataset"], row["model"], row["method"])
        mean, ends = interval(row["mean"], row["low"], row["high"])
        row |= {"rows": f"{row['rows_per_sample']:,.4g}", "score": mean, "ends": ends}
        row |= {"seconds": "", "memory": "", "seconds_per_sample": math.nan}

        if key in measured.index:
            seconds = float(measured.loc[key, "seconds"] / n_samples.loc[key])
            row["seconds_per_sample"] = seconds
            row["seconds"] = number(seconds)
            row["memory"] = f"{measured.loc[key, 'peak'] / 1e6:,.0f}"
        rows.append(row)
    return rows


def total_seconds(costs: pd.DataFrame) -> str:
    """Return the sum of measured seconds as text; empty if nothing was measured."""
    return number(float(costs["wall_seconds"].sum())) if len(costs) else ""


def by_section(
    pictures: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, list[Mapping[str, Any]]]:
    """Return the pictures of each section, by dataset and title."""
    order = sorted(pictures, key=lambda picture: (picture["dataset"], picture["title"]))
    return {name: [picture for picture in order if picture["section"] == name] for name in names}


def first_of_each(
    pictures: Sequence[Mapping[str, Any]],
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the first picture of each dataset, and the others."""
    first: dict[str, Mapping[str, Any]] = {}
    for picture in pictures:
        first.setdefault(picture["dataset"], picture)
    chosen = list(first.values())
    return chosen, [picture for picture in pictures if picture not in chosen]


def provenance_rows(provenance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return name and text of each entry; a mapping is written one entry a line."""
    rows = []
    for name, content in provenance.items():
        text = str(content)
        if isinstance(content, Mapping):
            lines = [f"{key}: {entry}" for key, entry in content.items()]
            text = "\n".join(lines)

        is_long = "\n" in text
        rows.append({"name": str(name), "text": text, "is_long": is_long})
    return rows

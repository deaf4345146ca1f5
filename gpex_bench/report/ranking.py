"""The ranking by the headline metric: place and score of each method on each network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.report.headline import Headline, Network
from gpex_bench.report.templates import rows as row_count
from gpex_bench.tables.order import Record, control_ids, records
from gpex_bench.tables.words import interval, partial, wording
from gpex_bench.types import value

# Methods of the ranking that are open; the others are one click away.
N_FIRST = 10


def networks(outcomes: pd.DataFrame) -> list[Network]:
    """Return dataset and model of every network, sorted."""
    return sorted(set(zip(outcomes["dataset"], outcomes["model"], strict=True)))


@value
class Inputs:
    """The tables that a ranking is made from."""

    headline: Headline
    outcomes: pd.DataFrame
    methods: Sequence[Record]
    # run id of the metric that decides
    metric: str
    # rows per sample
    efficiency: pd.DataFrame


def ranking_table(inputs: Inputs) -> dict[str, Any]:
    """Return the ranking: by the mean share of the places over networks; controls last."""
    chosen = inputs.outcomes[inputs.outcomes["metric"] == inputs.metric]
    outcomes = {(row["method"], row["dataset"], row["model"]): row for row in records(chosen)}
    placed = {
        (row["method"], *at): row for at, rows in inputs.headline.rows.items() for row in rows
    }
    applicable = {key[0] for key, row in outcomes.items() if row["state"] != "not_applicable"}

    where = networks(inputs.outcomes)
    costs = inputs.efficiency.groupby("method")["rows_per_sample"].agg(["min", "max"])
    controls = control_ids(inputs.methods)
    rows = []
    for card in sorted(inputs.methods, key=lambda card: _key(card["method"], inputs, controls)):
        name = card["method"]
        if name not in applicable:
            continue
        cells = [_cell(placed.get((name, *at)), outcomes.get((name, *at))) for at in where]
        rows.append(
            {
                "method": name,
                "title": card.get("title", ""),
                "kind": card["kind"],
                "is_control": name in controls,
                "scores": cells,
                "cost": _cost(costs, name),
            }
        )
    return {"networks": where, "rows": rows, "has_places": bool(placed)}


def _key(name: str, inputs: Inputs, controls: frozenset[str]) -> tuple[bool, float, str]:
    """Return what methods are sorted by; those without a place come after the others."""
    return name in controls, mean_share(inputs.headline, name), name


def mean_share(headline: Headline, method: str) -> float:
    """Return the mean over networks of a method's place as a share of the places; 2 without one."""
    shares = []
    for rows in headline.rows.values():
        last = max(row["place"] for row in rows)
        shares += [row["place"] / last for row in rows if row["method"] == method]
    return sum(shares) / len(shares) if shares else 2.0


def _cell(placed: Record | None, outcome: Record | None) -> dict[str, Any]:
    """Return place and score on one network, or why there is none."""
    if outcome is None:
        return {"kind": "na", "text": "n/a", "value": ""}
    if outcome["state"] != "ok":
        kind = "na" if outcome["state"] == "not_applicable" else "failed"
        return {"kind": kind, "text": wording(outcome["state"], outcome["reason"]), "value": ""}

    row = outcome if placed is None else {**placed, "mean": placed["score"]}
    mean, ends = interval(row["mean"], row["low"], row["high"])
    return {
        "kind": "ok",
        "value": f"{row['mean']:.8g}",
        "mean": mean,
        "ends": ends,
        "place": "" if placed is None else _place(placed),
        "answer": "" if placed is None else placed["answer"],
        "partial": partial(outcome),
    }


def _place(row: Record) -> str:
    """Return the place of a method, and its range over fills and outputs where it changes."""
    best, worst = int(row["place_best"]), int(row["place_worst"])
    place = f"{row['place']:.0f}"
    return place if best == worst else f"{place} ({best} to {worst})"


def _cost(costs: pd.DataFrame, name: str) -> str:
    """Return the rows through the network for one explanation: lowest to highest network."""
    if name not in costs.index:
        return ""

    low = row_count(float(costs["min"][name]))
    high = row_count(float(costs["max"][name]))
    return low if low == high else f"{low} to {high}"


def best_first(headline: Headline, methods: Sequence[Record]) -> list[str]:
    """Return the methods with a place, in the order of the ranking; controls last."""
    controls = control_ids(methods)
    names = {row["method"] for rows in headline.rows.values() for row in rows}
    return sorted(names, key=lambda name: (name in controls, mean_share(headline, name), name))


def texts(ranking: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the ranking that are no controls."""
    return [row for row in ranking["rows"] if not row["is_control"]]

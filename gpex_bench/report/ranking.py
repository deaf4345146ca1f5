"""The ranking of the first screen: mean ranks over all networks, and the score on each of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.tables.order import Record, control_ids, records
from gpex_bench.tables.words import interval, number, partial, wording
from gpex_bench.types import value

# Methods on the first screen; the others are one click away.
N_FIRST = 10

RANKS = ("method", "mean_rank", "rank_low", "rank_high", "tied_with_best", "friedman_p")

Network = tuple[str, str]  # dataset, model


def networks(outcomes: pd.DataFrame) -> list[Network]:
    """Return dataset and model of every network, sorted."""
    return sorted(set(zip(outcomes["dataset"], outcomes["model"], strict=True)))


def ranks(overall: pd.DataFrame | None, headline: str) -> pd.DataFrame:
    """Return the mean ranks by the headline metric, best first; empty if there are none."""
    if overall is None or "mean_rank" not in overall:
        return pd.DataFrame(columns=list(RANKS))
    return overall[overall["metric"] == headline].sort_values(["mean_rank", "method"])


@value
class Inputs:
    """The tables that a ranking is made from."""

    outcomes: pd.DataFrame
    methods: Sequence[Record]
    # run id of the metric that decides
    headline: str
    is_higher_better: bool
    # mean ranks over networks, of methods that are scored on all of them
    overall: pd.DataFrame | None
    # rows per sample
    efficiency: pd.DataFrame
    # mean scaled scores by group of metrics
    groups: pd.DataFrame
    # dataset, model and metric of what is not informative: no marks there
    blank: Collection[tuple[str, str, str]]


def ranking_table(inputs: Inputs) -> dict[str, Any]:
    """Return the ranking: by mean rank, then by the score on the first network; controls last."""
    known = ranks(inputs.overall, inputs.headline)
    by_method = {row["method"]: row for row in records(known)}
    groups = sorted(set(inputs.groups["group"]))

    where = networks(inputs.outcomes)
    blank = {
        (dataset, model) for dataset, model, metric in inputs.blank if metric == inputs.headline
    }
    first = next((network for network in where if network not in blank), where[0])

    scores = _scores(inputs.outcomes, inputs.headline)
    applicable = {key[0] for key, row in scores.items() if row["state"] != "not_applicable"}
    listed = {*by_method, *applicable}
    order = _order(inputs, by_method, {name: scores.get((name, *first)) for name in listed})

    shares = {(row["method"], row["group"]): row for row in records(inputs.groups)}
    costs = inputs.efficiency.groupby("method")["rows_per_sample"].agg(["min", "max"])
    controls = control_ids(inputs.methods)
    kinds = {record["method"]: record["kind"] for record in inputs.methods}
    rows = [
        {
            "method": name,
            "kind": kinds[name],
            "is_control": name in controls,
            "rank": _rank(by_method.get(name)),
            "scores": [_score(scores.get((name, *at)), at in blank) for at in where],
            "groups": [_share(shares.get((name, group))) for group in groups],
            "cost": _cost(costs, name),
        }
        for name in order
    ]
    return {
        "networks": where,
        "groups": groups,
        "rows": rows,
        "has_ranks": bool(by_method),
        "n_ranked": int(known["n_networks"].max()) if len(known) else 0,
        "has_differences": len(known) > 0 and not known["tied_with_best"].all(),
        "first": first,
    }


def _scores(outcomes: pd.DataFrame, headline: str) -> dict[tuple[str, str, str], Record]:
    """Return the rows of the headline metric by method, dataset and model."""
    chosen = outcomes[outcomes["metric"] == headline]
    return {(row["method"], row["dataset"], row["model"]): row for row in records(chosen)}


def _order(
    inputs: Inputs, by_method: Mapping[str, Record], first: Mapping[str, Record | None]
) -> list[str]:
    """Return the methods to list: by mean rank, then by the score on the first network."""
    controls = control_ids(inputs.methods)
    names = [record["method"] for record in inputs.methods if record["method"] in first]

    def key(name: str) -> tuple[bool, bool, float, float, str]:
        is_ranked = name in by_method
        mean_rank = by_method[name]["mean_rank"] if is_ranked else 0.0
        score = _good(first[name], inputs.is_higher_better)
        return name in controls, not is_ranked, mean_rank, -score, name

    return sorted(names, key=key)


def _good(row: Record | None, is_higher_better: bool) -> float:
    """Return a score so that more is better; what has none is last."""
    if row is None or row["state"] != "ok":
        return -math.inf
    return float(row["mean"]) * (1 if is_higher_better else -1)


def _rank(row: Record | None) -> dict[str, Any]:
    """Return mean rank, its interval, and whether it is tied with the best."""
    if row is None:
        return {"value": "", "mean": "", "ends": "", "is_tied": False}

    mean = row["mean_rank"]
    low = row["rank_low"]
    high = row["rank_high"]
    return {
        "value": f"{mean:.8g}",
        "mean": f"{mean:.2f}",
        "ends": f"[{low:.2f}, {high:.2f}]" if math.isfinite(low) else "",
        "is_tied": bool(row["tied_with_best"]),
    }


def _score(row: Record | None, is_blank: bool) -> dict[str, Any]:
    """Return the headline score on one network, or why there is none."""
    if row is None:
        return {"kind": "na", "text": "n/a", "value": ""}
    if row["state"] != "ok":
        kind = "na" if row["state"] == "not_applicable" else "failed"
        return {"kind": kind, "text": wording(row["state"], row["reason"]), "value": ""}

    mean, ends = interval(row["mean"], row["low"], row["high"])
    return {
        "kind": "ok",
        "value": f"{row['mean']:.8g}",
        "mean": mean,
        "ends": ends,
        "mark": "" if is_blank else row["mark"],
        "partial": partial(row),
    }


def _share(row: Record | None) -> dict[str, str]:
    """Return the mean scaled score of a group; no number where a cell of the group is missing."""
    if row is None:
        return {"value": "", "text": ""}
    if row["n_cells"] < row["n_planned"]:
        return {"value": "", "text": f"{row['n_cells']} of {row['n_planned']}"}
    return {"value": f"{row['scaled']:.8g}", "text": two_decimals(row["scaled"])}


def two_decimals(score: float) -> str:
    """Write a scaled score; a rounded zero has no sign."""
    return f"{round(score, 2) + 0:.2f}"


def _cost(costs: pd.DataFrame, name: str) -> str:
    """Return the rows through the network for one explanation: lowest to highest network."""
    if name not in costs.index:
        return ""

    low = _rows(float(costs["min"][name]))
    high = _rows(float(costs["max"][name]))
    return low if low == high else f"{low} to {high}"


def _rows(rows: float) -> str:
    """Write a number of rows."""
    return f"{rows:,.0f}" if rows >= 10 or rows == int(rows) else number(rows)

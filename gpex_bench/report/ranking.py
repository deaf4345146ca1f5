"""The ranking of the first screen: mean ranks with intervals over all networks, and the score on each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.tables.order import Record, control_ids, records
from gpex_bench.tables.words import interval, number, wording
from gpex_bench.types import value

N_FIRST = 10  # methods on the first screen; the others are one click away


def networks(outcomes: pd.DataFrame) -> list[tuple[str, str]]:
    """Return dataset and model of every network, sorted."""
    return sorted(set(zip(outcomes["dataset"], outcomes["model"], strict=True)))


def ranks(overall: pd.DataFrame | None, headline: str) -> pd.DataFrame:
    """Return the rows of the headline metric, best rank first; empty if there are none."""
    if overall is None:
        return pd.DataFrame(
            columns=["method", "mean_rank", "rank_low", "rank_high", "tied_with_best", "friedman_p"]
        )
    return overall[overall["metric"] == headline].sort_values(["mean_rank", "method"])


@value
class Ranked:
    """What a ranking is made of, beside the scores."""

    overall: (
        pd.DataFrame | None
    )  # mean ranks over networks, of methods that are scored on all of them
    efficiency: pd.DataFrame  # rows per sample
    groups: pd.DataFrame  # mean scaled scores by group of metrics (`scaling.by_group`)
    is_higher_better: bool
    blank: frozenset[
        tuple[str, str, str]
    ]  # dataset, model and metric of what is not informative: no marks there


def ranking_table(
    outcomes: pd.DataFrame, methods: Sequence[Record], headline: str, ranked: Ranked
) -> dict[str, Any]:
    """Return the ranking: methods by mean rank, then by the score on the first network; controls last."""
    efficiency, groups, blank = ranked.efficiency, ranked.groups, ranked.blank
    known = ranks(ranked.overall, headline)
    place = {row["method"]: row for row in records(known)}
    ours, kinds = control_ids(methods), {record["method"]: record["kind"] for record in methods}
    where = networks(outcomes)
    chosen = outcomes[outcomes["metric"] == headline]
    scores = {(row["method"], row["dataset"], row["model"]): row for row in records(chosen)}
    clear = next((at for at in where if (*at, headline) not in blank), where[0])
    first = {name: _good(scores.get((name, *clear)), ranked.is_higher_better) for name in kinds}

    def order(name: str) -> tuple[bool, bool, float, float, str]:
        return (
            name in ours,
            name not in place,
            place.get(name, {}).get("mean_rank", 0.0),
            -first[name],
            name,
        )

    names = sorted(kinds, key=order)
    cost = efficiency.groupby("method")["rows_per_sample"].agg(["min", "max"])
    columns = sorted(set(groups["group"]))
    shares = {(row["method"], row["group"]): row for row in records(groups)}
    rows = []
    for name in names:
        cells = [_score(scores.get((name, *at)), (*at, headline) in blank) for at in where]
        if not any(cell["is_shown"] for cell in cells) and name not in place:
            continue
        rows.append(
            {
                "method": name,
                "kind": kinds[name],
                "is_control": name in ours,
                "rank": _rank(place.get(name)),
                "scores": cells,
                "groups": [_share(shares.get((name, group))) for group in columns],
                "cost": _cost(cost, name),
            }
        )
    letters = bool(len(known)) and not known["tied_with_best"].all()
    return {
        "networks": where,
        "groups": columns,
        "rows": rows,
        "has_ranks": bool(place),
        "n_ranked": int(known["n_networks"].max()) if len(known) else 0,
        "is_told_apart": letters,
        "first": clear,
    }


def _good(row: Mapping[str, Any] | None, is_higher_better: bool) -> float:
    """Return a score as more is better; what has none is last."""
    if row is None or row["state"] != "ok":
        return -math.inf
    return float(row["mean"]) * (1 if is_higher_better else -1)


def _rank(row: Mapping[str, Any] | None) -> dict[str, str]:
    """Return mean rank, its interval, and whether it is tied with the best."""
    if row is None:
        return {"value": "", "mean": "", "ends": "", "tied": ""}
    return {
        "value": f"{row['mean_rank']:.8g}",
        "mean": f"{row['mean_rank']:.2f}",
        "ends": f"[{row['rank_low']:.2f}, {row['rank_high']:.2f}]"
        if row["rank_low"] == row["rank_low"]
        else "",
        "tied": "tied" if row["tied_with_best"] else "",
    }


def _score(row: Mapping[str, Any] | None, is_blank: bool) -> dict[str, Any]:
    """Return the headline score on one network, or why there is none."""
    if row is None or row["state"] != "ok":
        text = "n/a" if row is None else wording(row["state"], row["reason"])
        is_na = row is None or row["state"] == "not_applicable"
        return {
            "kind": "na" if is_na else "failed",
            "text": text,
            "value": "",
            "is_shown": not is_na,
        }
    mean, ends = interval(row["mean"], row["low"], row["high"])
    few = row["n_seeds"] < row["n_seeds_planned"]
    seeds = f"{row['n_seeds']:.0f} of {row['n_seeds_planned']:.0f} seeds" if few else ""
    shown = {
        "kind": "ok",
        "mean": mean,
        "ends": ends,
        "mark": "" if is_blank else row["mark"],
        "partial": seeds,
        "is_shown": True,
    }
    return {"value": f"{row['mean']:.8g}", **shown}


def _share(row: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the mean scaled score of a group of metrics; without a number where a cell of the group is missing."""
    if row is None:
        return {"value": "", "text": ""}
    if row["n_cells"] < row["n_planned"]:
        return {"value": "", "text": f"{row['n_cells']} of {row['n_planned']}"}
    return {"value": f"{row['scaled']:.8g}", "text": f"{round(row['scaled'], 2) + 0:.2f}"}


def _cost(cost: pd.DataFrame, name: str) -> str:
    """Return the rows through the network for one explanation: lowest to highest network."""
    if name not in cost.index:
        return ""
    low, high = (_rows(float(cost[which][name])) for which in ("min", "max"))
    return low if low == high else f"{low} to {high}"


def _rows(rows: float) -> str:
    """Write a number of rows."""
    return f"{rows:,.0f}" if rows >= 10 or rows == int(rows) else number(rows)

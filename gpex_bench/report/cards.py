"""What the report says of each method, metric, dataset and network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.tables.order import Record, groups, records
from gpex_bench.tables.words import interval, number, wording
from gpex_bench.types import value


@value
class Known:
    """What is known of methods beside their scores."""

    ranking: pd.DataFrame | None  # mean ranks within networks
    costs: Sequence[Mapping[str, Any]]  # rows of `sections.cost_table`
    behind: Mapping[
        str, Sequence[str]
    ]  # networks on which a method is worse than a control that is blind


def method_cards(
    methods: Sequence[Record], outcomes: pd.DataFrame, headline: str, known: Known
) -> list[dict[str, Any]]:
    """Return the cards of the methods by kind, controls last: where each ranks, what it costs, where it fails."""
    chosen = outcomes[outcomes["metric"] == headline].sort_values(["dataset", "model"])
    places = _places(known.ranking, headline)
    found: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(
        methods, key=lambda record: (record["kind"] == "control", record["kind"], record["method"])
    ):
        name = record["method"]
        rows = [_row(row, places) for row in records(chosen[chosen["method"] == name])]
        card = {
            **record,
            "scores": rows,
            "costs": [row for row in known.costs if row["method"] == name],
            "behind": list(known.behind.get(name, ())),
            "failed": _failures(outcomes[outcomes["method"] == name]),
        }
        found.setdefault(record["kind"] or "cannot be used", []).append(card)
    return [{"kind": kind, "cards": cards} for kind, cards in found.items()]


def _places(ranking: pd.DataFrame | None, headline: str) -> dict[tuple[str, str, str], str]:
    """Return the mean rank of each method on each network, in words."""
    if ranking is None:
        return {}
    found = {}
    for (dataset, model), part in groups(
        ranking[ranking["metric"] == headline], ["dataset", "model"]
    ):
        for row in records(part):
            found[dataset, model, row["method"]] = (
                f"mean rank {row['mean_rank']:.2f} of {len(part)}"
            )
    return found


def _row(row: Mapping[str, Any], places: Mapping[tuple[str, str, str], str]) -> dict[str, Any]:
    """Return the headline score on one network in words."""
    where = {"dataset": row["dataset"], "model": row["model"]}
    if row["state"] != "ok":
        kind = "na" if row["state"] == "not_applicable" else "failed"
        return {**where, "kind": kind, "text": wording(row["state"], row["reason"])}
    mean, ends = interval(row["mean"], row["low"], row["high"])
    place = places.get((row["dataset"], row["model"], row["method"]), "")
    return {**where, "kind": "ok", "text": f"{mean} {ends}", "mark": row["mark"], "place": place}


def _failures(rows: pd.DataFrame) -> list[str]:
    """Return where a method failed, and why."""
    bad = rows[~rows["state"].isin(["ok", "not_applicable"])]
    few = rows[(rows["state"] == "ok") & (rows["n_seeds"] < rows["n_seeds_planned"])]
    bad, few = (part.assign(reason=part["reason"].fillna("")) for part in (bad, few))
    said = [
        f"{d} ({m}): {wording(s, r)}"
        for (d, m, s, r), _ in groups(bad, ["dataset", "model", "state", "reason"])
    ]
    return said + [
        f"{d} ({m}): {reason}" for (d, m, reason), _ in groups(few, ["dataset", "model", "reason"])
    ]


def behind_blind(findings: Sequence[Any]) -> dict[str, list[str]]:
    """Return on which networks each method is behind a blind control."""
    found: dict[str, list[str]] = {}
    for finding in findings:
        for name in finding.behind:
            found.setdefault(name, []).append(f"{finding.dataset} ({finding.model})")
    return found


def metric_cards(
    metrics: Sequence[Record], trusted: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the cards of the metrics by what they measure, with where each is informative."""
    beside = {row["metric"]: row for row in trusted}
    found: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(metrics, key=lambda record: (record["measures"], record["metric"])):
        chance = record["chance"]
        more = {
            "informative": beside.get(record["metric"], {}).get("informative", ""),
            "chance_text": "depends on the data" if chance is None else f"{chance:.3g}",
            "range_text": f"{record['range'][0]:g} to {record['range'][1]:g}",
        }
        found.setdefault(record["measures"], []).append({**record, **more})
    return [{"kind": kind, "cards": cards} for kind, cards in found.items()]


def network_cards(
    facts: Sequence[Mapping[str, Any]], datasets: Sequence[Record], models: Sequence[Record]
) -> list[dict[str, Any]]:
    """Return what each network's dataset and architecture say of themselves, and the facts."""
    about = {("dataset", record["dataset"]): record for record in datasets}
    about |= {("model", record["model"]): record for record in models}
    return [
        {
            "dataset": fact["dataset"],
            "model": fact.get("network", ""),
            "data": about.get(("dataset", fact["dataset"])),
            "network": about.get(("model", fact.get("network", ""))),
            "facts": {
                name: content
                for name, content in fact.items()
                if name not in ("dataset", "network")
            },
        }
        for fact in facts
    ]


def total_seconds(costs: pd.DataFrame) -> str:
    """Return the sum of measured seconds as text."""
    return number(float(costs["wall_seconds"].sum())) if len(costs) else ""

"""The cards of the report: what is known of each method, metric, dataset and network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.report.headline import Headline
from gpex_bench.report.verdict import Finding
from gpex_bench.tables.order import Record, groups, records
from gpex_bench.tables.words import interval, wording
from gpex_bench.types import value


@value
class MethodFacts:
    """What is known of methods besides their scores."""

    # places within networks
    headline: Headline
    # rows of `sections.cost_table`
    costs: Sequence[Record]
    # networks on which a method is worse than a blind control
    behind: Mapping[str, Sequence[str]]


def method_cards(
    methods: Sequence[Record], outcomes: pd.DataFrame, headline: str, facts: MethodFacts
) -> list[dict[str, Any]]:
    """Return the cards of the methods by kind, controls last.

    A card holds the record of the method, its headline scores and places, its cost, and where it
    failed or is worse than a blind control.
    """
    is_headline = outcomes["metric"] == headline
    chosen = outcomes[is_headline].sort_values(["dataset", "model"])
    places = _places(facts.headline)

    by_kind: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(methods, key=_method_key):
        name = record["method"]
        rows = records(chosen[chosen["method"] == name])
        card = {
            **record,
            "scores": [_score(row, places) for row in rows],
            "costs": [row for row in facts.costs if row["method"] == name],
            "behind": list(facts.behind.get(name, ())),
            "failed": _failures(outcomes[outcomes["method"] == name]),
        }
        by_kind.setdefault(record["kind"] or "cannot be used", []).append(card)
    return [{"kind": kind, "cards": cards} for kind, cards in by_kind.items()]


def _method_key(record: Record) -> tuple[bool, str, str]:
    """Return a key that sorts methods by kind and name, controls last."""
    return record["kind"] == "control", record["kind"], record["method"]


def _places(headline: Headline) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return the place and the number of places by dataset, model and method."""
    return {
        (*network, row["method"]): {"place": int(row["place"]), "of": len(rows)}
        for network, rows in headline.rows.items()
        for row in rows
    }


def _score(row: Record, places: Mapping[tuple[str, str, str], Record]) -> dict[str, Any]:
    """Return the headline score on one network, or why there is none."""
    network = {"dataset": row["dataset"], "model": row["model"]}
    if row["state"] != "ok":
        kind = "na" if row["state"] == "not_applicable" else "failed"
        return {**network, "kind": kind, "text": wording(row["state"], row["reason"])}

    return {
        **network,
        "kind": "ok",
        "text": " ".join(interval(row["mean"], row["low"], row["high"])),
        "mark": row["mark"],
        "rank": places.get((row["dataset"], row["model"], row["method"])),
    }


def _failures(rows: pd.DataFrame) -> list[str]:
    """Return where a method failed, or some of its seeds did, and why."""
    rows = rows.assign(reason=rows["reason"].fillna(""))
    is_ok = rows["state"] == "ok"
    failed = rows[~is_ok & (rows["state"] != "not_applicable")]
    partial = rows[is_ok & (rows["n_seeds"] < rows["n_seeds_planned"])]

    key = ["dataset", "model", "state", "reason"]
    whole = [
        f"{dataset} ({model}): {wording(state, reason)}"
        for (dataset, model, state, reason), _ in groups(failed, key)
    ]
    some_seeds = [
        f"{dataset} ({model}): {reason}" for (dataset, model, _, reason), _ in groups(partial, key)
    ]
    return whole + some_seeds


def behind_blind(findings: Sequence[Finding]) -> dict[str, list[str]]:
    """Return on which networks each method is worse than a blind control."""
    networks: dict[str, list[str]] = {}
    for finding in findings:
        for name in finding.behind:
            networks.setdefault(name, []).append(f"{finding.dataset} ({finding.model})")
    return networks


def metric_cards(
    metrics: Sequence[Record], trusted: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the cards of the metrics by what they measure, with where each is informative."""
    informative = {row["metric"]: row["informative"] for row in trusted}

    by_kind: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(metrics, key=lambda record: (record["measures"], record["metric"])):
        low, high = record["range"]
        chance = record["chance"]
        card = {
            **record,
            "informative": informative.get(record["metric"]),
            "chance_text": "depends on the data" if chance is None else f"{chance:.3g}",
            "range_text": f"{low:g} to {high:g}",
        }
        by_kind.setdefault(record["measures"], []).append(card)
    return [{"kind": kind, "cards": cards} for kind, cards in by_kind.items()]


def network_cards(
    facts: Sequence[Mapping[str, Any]], datasets: Sequence[Record], models: Sequence[Record]
) -> list[dict[str, Any]]:
    """Return for each network the cards of its dataset and architecture, and its facts."""
    by_dataset = {record["dataset"]: record for record in datasets}
    by_model = {record["model"]: record for record in models}

    return [
        {
            "dataset": fact["dataset"],
            "model": fact.get("network", ""),
            "data": by_dataset.get(fact["dataset"]),
            "network": by_model.get(fact.get("network", "")),
            "facts": {
                name: content
                for name, content in fact.items()
                if name not in ("dataset", "network")
            },
        }
        for fact in facts
    ]

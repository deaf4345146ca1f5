"""Which explainer for which case: the answers of the report's first screen.

A case is a kind of data and what a user has or needs: gradients, outputs alone, few rows, a sum.
Which methods it admits follows from what they declare (`needs`, `surrogate`, `adds_up`) and from
the rows that they took. Of these the one is named that the fewest others of the case beat, over the
networks of the kind; of several the one with the best places.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.report.headline import Headline, Network
from gpex_bench.tables.columns import NETWORK
from gpex_bench.tables.order import Record, control_ids
from gpex_bench.tables.words import BEATEN, BETTER, EQUAL, LEADS, UNBEATEN, WORSE
from gpex_bench.types import Need, Role, value

# A method is cheap if an explanation takes at most so many rows through the network.
CHEAP_ROWS = 10

KINDS = {Need.IMAGE.value: "images", Need.TABLE.value: "tables"}
CASES = ("any", "black_box", "cheap", "adds_up")

# What an explainer asks of the inside of a network.
INSIDE = frozenset({Need.GRADIENT.value, Need.MODULES.value})

# Controls that show the input, whatever the network does.
LOOKS = {"edges": Role.EDGES, "input": Role.INPUT}

ANSWERS = (
    "kind",
    "case",
    "method",
    *NETWORK,
    "state",
    "n_methods",
    "n_better",
    "n_equal",
    "n_unclear",
    "n_worse",
    "beaten_by",
    "n_variants",
    "n_first",
    *LOOKS,
    "rows",
    "seconds",
)


@value
class Cost:
    """What one explanation costs; NaN if it is not known."""

    rows: float = math.nan
    seconds: float = math.nan


@value
class Inputs:
    """What the answers are made from."""

    headline: Headline
    methods: Sequence[Record]
    # what one explanation costs, by network and method
    costs: Mapping[tuple[Network, str], Cost]
    # "images" or "tables", by dataset
    kinds: Mapping[str, str]


def kinds_of(datasets: Sequence[Record]) -> dict[str, str]:
    """Return whether each dataset has images or tables, from the cards."""
    found = {}
    for card in datasets:
        for need, kind in KINDS.items():
            if need in card.get("offers", ()):
                found[card["dataset"]] = kind
    return found


def costs_of(rows: Sequence[Record]) -> dict[tuple[Network, str], Cost]:
    """Return the cost of each method on each network, from rows of `sections.cost_table`."""
    return {
        ((row["dataset"], row["model"]), row["method"]): Cost(
            rows=float(row["rows_per_sample"]), seconds=row["seconds_per_sample"]
        )
        for row in rows
    }


def answers(inputs: Inputs) -> list[dict[str, Any]]:
    """Return a record for each kind of data, case and network: who is named, and how sure it is.

    `state` is leads (better than or equal to all others of the case), unbeaten, beaten, alone, or
    unscored (the method has no score there). `n_first` of `n_variants` fills and outputs give it
    the best mean; `elsewhere` is who has it under the others, the most frequent first.
    """
    rows: list[dict[str, Any]] = []
    for kind in KINDS.values():
        headline = inputs.headline
        own = [at for at in headline.networks if inputs.kinds.get(at[0]) == kind]
        for case in CASES if own else ():
            admitted = {at: _admitted(inputs, at, case) for at in own}
            method = _pick(headline, admitted, inputs.costs)
            rows += [
                {
                    "kind": kind,
                    "case": case,
                    "method": method,
                    "dataset": at[0],
                    "model": at[1],
                    **_standing(inputs, at, method, admitted[at]),
                }
                for at in own
                if method
            ]
    return rows


def table(found: Sequence[Record]) -> pd.DataFrame:
    """Return the answers as a table."""
    return pd.DataFrame(found, columns=list(ANSWERS))


def _admitted(inputs: Inputs, network: Network, case: str) -> list[str]:
    """Return the methods with a score on a network that fit a case, the best place first."""
    controls = control_ids(inputs.methods)
    cards = {card["method"]: card for card in inputs.methods}

    names = [row["method"] for row in inputs.headline.rows[network]]
    return [
        name
        for name in names
        if name not in controls
        and _fits(cards[name], inputs.costs.get((network, name), Cost()), case)
    ]


def _fits(card: Record, cost: Cost, case: str) -> bool:
    """Return whether a case admits a method."""
    if case == "black_box":
        is_outside = not INSIDE & set(card["needs"])
        return is_outside and card["surrogate"] is None
    if case == "cheap":
        return cost.rows <= CHEAP_ROWS
    if case == "adds_up":
        return bool(card.get("adds_up"))
    return True


def _pick(
    headline: Headline,
    admitted: Mapping[Network, Sequence[str]],
    costs: Mapping[tuple[Network, str], Cost],
) -> str:
    """Return the method that is named for a case; empty if none is admitted."""
    names = sorted({name for own in admitted.values() for name in own})

    def key(name: str) -> tuple[int, float, float, str]:
        # Where a method has no score, all others count as better.
        n_worse = 0
        places = []
        for at, own in admitted.items():
            is_scored = name in own
            n_worse += len(headline.beaten_by(at, name, own)) if is_scored else len(own)
            places.append(own.index(name) / len(own) if is_scored else 1.0)
        rows = [cost.rows for (_, method), cost in costs.items() if method == name]
        return n_worse, sum(places) / len(places), max(rows, default=math.inf), name

    return min(names, key=key, default="")


def _standing(
    inputs: Inputs, network: Network, method: str, admitted: Sequence[str]
) -> dict[str, Any]:
    """Return how a method compares with the others of a case on one network."""
    headline = inputs.headline
    cost = inputs.costs.get((network, method), Cost())
    if method not in admitted:
        known = {"rows": cost.rows, "seconds": cost.seconds}
        return {"state": "unscored", **dict.fromkeys(LOOKS, ""), **known}

    words = list(headline.against(network, method, admitted).values())
    beaten_by = headline.beaten_by(network, method, admitted)
    n_sure = words.count(BETTER) + words.count(EQUAL)
    first = headline.first_under(network, admitted)
    return {
        "state": _state(len(words), n_sure, beaten_by),
        "n_methods": len(words),
        "n_better": words.count(BETTER),
        "n_equal": words.count(EQUAL),
        "n_unclear": len(words) - n_sure - words.count(WORSE),
        "n_worse": len(beaten_by),
        "beaten_by": ", ".join(beaten_by),
        "n_variants": len(first),
        "n_first": sum(method in names for names in first.values()),
        "elsewhere": _elsewhere(first, method),
        **_over_looks(inputs, network, method),
        "rows": cost.rows,
        "seconds": cost.seconds,
    }


def _elsewhere(first: Mapping[str, Sequence[str]], method: str) -> list[dict[str, Any]]:
    """Return who is first where a method is not, under how many variants, and under which."""
    others: dict[str, list[str]] = {}
    for variant, names in first.items():
        if method not in names:
            others.setdefault(names[0], []).append(variant)

    most_first = sorted(others.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        {"method": name, "variant": variants[0], "n": len(variants)}
        for name, variants in most_first
    ]


def _state(n_others: int, n_sure: int, beaten_by: Collection[str]) -> str:
    """Return the kind of standing."""
    if not n_others:
        return "alone"
    if beaten_by:
        return BEATEN
    return LEADS if n_sure == n_others else UNBEATEN


def _over_looks(inputs: Inputs, network: Network, method: str) -> dict[str, str]:
    """Return the verdict of a method over the edges of an image, and over the input itself."""
    found = {}
    for name, role in LOOKS.items():
        controls = sorted(control_ids(inputs.methods, role))
        words = [inputs.headline.over(network, method, control) for control in controls]
        found[name] = next((word for word in words if word), "")
    return found


def shown(found: Sequence[Record], methods: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the answers as the page shows them: one record a kind and case.

    `networks` are the answers of the case on each network.
    """
    titles = {card["method"]: card.get("title", "") for card in methods}
    by_case: dict[tuple[str, str], list[Record]] = {}
    for row in found:
        by_case.setdefault((row["kind"], row["case"]), []).append(row)

    result = []
    for (kind, case), rows in by_case.items():
        method = rows[0]["method"]
        scored = [row for row in rows if row["state"] != "unscored"]
        result.append(
            {
                "kind": kind,
                "case": case,
                "method": method,
                "title": titles[method],
                "networks": rows,
                "variants": _variants(scored),
                "rows": _span(row["rows"] for row in scored),
                "seconds": _span(row["seconds"] for row in scored),
                **{name: _words(scored, name) for name in LOOKS},
            }
        )
    return result


def _variants(rows: Sequence[Record]) -> dict[str, Any]:
    """Return under how many fills and outputs the method is first, and who else is most often."""
    compared = [row for row in rows if row["state"] != "alone" and row["n_variants"] > 1]
    others: dict[str, int] = {}
    for row in compared:
        for other in row["elsewhere"]:
            others[other["method"]] = others.get(other["method"], 0) + other["n"]

    most_first = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    return {
        "n_first": sum(row["n_first"] for row in compared),
        "n": sum(row["n_variants"] for row in compared),
        "others": [{"method": name, "n": n} for name, n in most_first],
    }


def _span(values: Iterable[float]) -> tuple[float, float] | None:
    """Return the smallest and the largest known number; None without one."""
    known = sorted(value for value in values if not math.isnan(value))
    return (known[0], known[-1]) if known else None


def _words(rows: Sequence[Record], column: str) -> dict[str, list[str]]:
    """Return the networks on which each verdict holds."""
    places: dict[str, list[str]] = {}
    for row in rows:
        if row[column]:
            places.setdefault(row[column], []).append(f"{row['dataset']} ({row['model']})")
    return places

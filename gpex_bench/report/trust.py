"""Which metrics can be trusted: one row a metric, and short tables behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.report.templates import percent
from gpex_bench.tables.columns import NETWORK
from gpex_bench.tables.order import Record, groups, records
from gpex_bench.tables.words import NOT_USABLE, USABLE, USES, interval, number

Tables = Mapping[str, pd.DataFrame]


def trust(tables: Tables, metrics: Sequence[Record], headline: str) -> dict[str, Any]:
    """Return everything about metrics; parts without a frame are empty.

    Args:
        tables: the tables of conclusions, by name.
        metrics: cards.
        headline: run id of the metric that the tables behind are about.
    """
    return {
        "metrics": metric_rows(tables, metrics),
        "properties": _properties(tables),
        "uses": uses(tables, metrics),
        "blank": not_usable(tables),
        "fills": fills(tables, headline),
        "variants": variants(tables, headline),
        "variance": variance(tables, headline),
        "power": power(tables, headline),
        "planted": planted(tables),
    }


def _frame(tables: Tables, name: str, headline: str = "") -> pd.DataFrame | None:
    """Return a frame, or its rows of the headline metric; None where it has none."""
    frame = tables.get(name)
    if frame is not None and headline and len(frame):
        frame = frame[frame["metric"] == headline]
    return None if frame is None or frame.empty else frame


def _properties(tables: Tables) -> list[str]:
    """Return the properties of metrics that were measured."""
    frame = _frame(tables, "trust")
    return [] if frame is None else sorted(set(frame["property"]))


def metric_rows(tables: Tables, metrics: Sequence[Record]) -> list[dict[str, Any]]:
    """Return for each metric where it is informative, its properties, and its τ over fills.

    The median of each number is over networks, its ends are the lowest and the highest.
    """
    informative = _frame(tables, "informative")
    properties = _frame(tables, "trust")
    agreement = _frame(tables, "fill_agreement")
    if informative is None and properties is None:
        return []

    return [
        {
            "metric": record["metric"],
            "measures": record["measures"],
            "informative": _informative(informative, record["metric"]),
            "properties": [
                _property(properties, record["metric"], name) for name in _properties(tables)
            ],
            **_tau_over_fills(agreement, record["metric"]),
        }
        for record in sorted(metrics, key=lambda record: (record["measures"], record["metric"]))
    ]


def _known(frame: pd.DataFrame, metric: str, column: str) -> pd.Series:
    """Return the numbers of one metric in a column."""
    return frame.loc[frame["metric"] == metric, column].dropna()


def _tau_over_fills(agreement: pd.DataFrame | None, metric: str) -> dict[str, str]:
    """Return the median of Kendall's τ between two variants of a metric, with its range."""
    if agreement is None:
        return {"tau": "", "tau_ends": ""}

    taus = _known(agreement, metric, "tau")
    if taus.empty:
        return {"tau": "", "tau_ends": ""}
    return {"tau": f"{taus.median():.2f}", "tau_ends": f"{taus.min():.2f} to {taus.max():.2f}"}


def _informative(informative: pd.DataFrame | None, metric: str) -> dict[str, int] | None:
    """Return on how many of its networks a metric is informative; None if that is not known."""
    if informative is None:
        return None

    here = informative[informative["metric"] == metric]
    return {
        "count": int(here["is_informative"].sum()),
        "of": len(here),
    }


def _property(properties: pd.DataFrame | None, metric: str, name: str) -> dict[str, str]:
    """Return the median of a property of a metric over networks, with its range."""
    if properties is None:
        return {"text": "", "ends": ""}

    known = _known(properties[properties["property"] == name], metric, "value")
    if known.empty:
        return {"text": "", "ends": ""}

    low = number(float(known.min()), 1.0)
    high = number(float(known.max()), 1.0)
    return {
        "text": number(float(known.median()), 1.0),
        "ends": f"{low} to {high}" if len(known) > 1 else "",
    }


def uses(tables: Tables, metrics: Sequence[Record]) -> dict[str, list[dict[str, Any]]]:
    """Return for each use the metrics by what they measure, and where if not everywhere.

    Metrics that are not usable are in `not_usable`, with the reasons.
    """
    frame = _frame(tables, "informative")
    if frame is None:
        return {}

    measures = {card["metric"]: card["measures"] for card in metrics}
    n_networks = frame.groupby("metric").size()
    known = frame.assign(use=_use(frame), measures=frame["metric"].map(measures))

    found: dict[str, list[dict[str, Any]]] = {use: [] for use in USES}
    for (use, kind), part in groups(known, ["use", "measures"]):
        names = []
        for (metric,), rows in groups(part, ["metric"]):
            is_everywhere = len(rows) == n_networks[metric]
            where = [] if is_everywhere else _networks(rows)
            names.append({"metric": metric, "networks": where})
        found[use].append({"measures": kind, "metrics": names})
    return found


def _use(frame: pd.DataFrame) -> pd.Series:
    """Return what each metric can be used for."""
    if "use" in frame:
        return frame["use"]
    return frame["is_informative"].astype(bool).map({True: USABLE, False: NOT_USABLE})


def _networks(rows: pd.DataFrame) -> list[str]:
    """Return the networks of some rows, as shown."""
    return sorted(rows["dataset"] + " (" + rows["model"] + ")")


def not_usable(tables: Tables) -> list[dict[str, Any]]:
    """List metrics that are not usable on a network; those with the same reason together."""
    frame = _frame(tables, "informative")
    if frame is None:
        return []

    bad = frame[_use(frame) == NOT_USABLE]
    bad = bad.assign(reason=bad["reason"].fillna("").str.rstrip("."))
    by_metric = [
        {"metric": metric, "reason": reason, "networks": ", ".join(_networks(part))}
        for (metric, reason), part in groups(bad, ["metric", "reason"])
    ]
    together: dict[tuple[str, str], list[str]] = {}
    for row in by_metric:
        together.setdefault((row["reason"], row["networks"]), []).append(row["metric"])
    return [
        {"metrics": names, "reason": reason, "networks": networks}
        for (reason, networks), names in together.items()
    ]


def fills(tables: Tables, headline: str) -> list[dict[str, Any]]:
    """Return Kendall's tau between every two variants of the headline metric, by network."""
    frame = _frame(tables, "fill_agreement", headline)
    if frame is None:
        return []

    result = []
    for (dataset, model), part in groups(frame, NETWORK):
        taus: dict[tuple[str, str], float] = {}
        for row in records(part):
            one = f"{row['fill']}, {row['output']}"
            other = f"{row['other_fill']}, {row['other_output']}"
            taus[one, other] = row["tau"]
            taus[other, one] = row["tau"]

        names = sorted({name for pair in taus for name in pair})
        rows = [
            {"name": name, "cells": [_tau(taus, name, other) for other in names]} for name in names
        ]
        n_methods = int(part["n_methods"].max())
        result.append(
            {"dataset": dataset, "model": model, "names": names, "rows": rows, "n": n_methods}
        )
    return result


def _tau(taus: Mapping[tuple[str, str], float], one: str, other: str) -> str:
    """Write the tau of two variants; a dash for a variant and itself."""
    if one == other:
        return "–"

    tau = taus.get((one, other), math.nan)
    if math.isnan(tau):
        return ""
    return f"{tau:.2f}"


def variants(tables: Tables, headline: str) -> list[dict[str, Any]]:
    """Return the scores of each method under each variant of the headline metric, by network.

    Methods are in the order of the first variant.
    """
    frame = _frame(tables, "variants", headline)
    if frame is None:
        return []

    result = []
    for (dataset, model), part in groups(frame, NETWORK):
        part = part.assign(variant=part["fill"] + ", " + part["output"])
        names = sorted(set(part["variant"]))
        first = part[part["variant"] == names[0]]

        rows = []
        for method in _best_first(first, set(part["method"])):
            cells = _variant_cells(part[part["method"] == method])
            rows.append(
                {
                    "method": method,
                    "cells": [cells.get(name, ("", "")) for name in names],
                }
            )
        result.append({"dataset": dataset, "model": model, "names": names, "rows": rows})
    return result


def _variant_cells(part: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return mean and interval of one method by variant."""
    return {row["variant"]: interval(row["mean"], row["low"], row["high"]) for row in records(part)}


def _best_first(scored: pd.DataFrame, methods: set[str]) -> list[str]:
    """Return methods by their mean, largest first; those without one last."""
    means = dict(zip(scored["method"], scored["mean"], strict=True))
    return sorted(methods, key=lambda name: (-means.get(name, -math.inf), name))


def variance(tables: Tables, headline: str) -> dict[str, Any]:
    """Return the shares of the variance of the headline score, by network."""
    frame = _frame(tables, "variance", headline)
    if frame is None:
        return {"components": [], "rows": []}

    names = sorted(set(frame["component"]))
    rows = []
    for (dataset, model), part in groups(frame, NETWORK):
        shares = part.set_index("component")["share"]
        cells = [_share(shares.get(name, math.nan)) for name in names]
        rows.append({"dataset": dataset, "model": model, "cells": cells})
    return {"components": names, "rows": rows}


def _share(share: float) -> str:
    """Write a share in percent; empty if it is not known."""
    return "" if math.isnan(share) else percent(share)


def power(tables: Tables, headline: str) -> list[dict[str, Any]]:
    """Return how many images would separate the top three, by network."""
    frame = _frame(tables, "power", headline)
    return [] if frame is None else records(frame.sort_values(list(NETWORK)))


def planted(tables: Tables) -> list[dict[str, Any]]:
    """Return who finds the planted truth better than an edge detector, by network, best first."""
    frame = _frame(tables, "planted")
    if frame is None:
        return []

    result = []
    for (dataset, model), part in groups(frame, NETWORK):
        ranked = part.sort_values(["mean", "method"], ascending=[False, True])
        rows = [_planted_row(row) for row in records(ranked)]
        result.append({"dataset": dataset, "model": model, "rows": rows})
    return result


def _planted_row(row: Record) -> dict[str, Any]:
    """Return the share of relevance on the planted truth, and how it compares with edges."""
    mean, ends = interval(row["mean"], row["low"], row["high"])
    is_compared = not pd.isna(row["edge_difference"])
    is_better = row["beats_edge_detector"]
    verdict = "no" if is_compared else ""
    if not pd.isna(is_better) and is_better:
        verdict = "yes"

    return {
        "method": row["method"],
        "value": f"{row['mean']:.8g}",
        "mean": mean,
        "ends": ends,
        "difference": number(row["edge_difference"], 1.0) if is_compared else "",
        "p": "" if pd.isna(row["p_holm"]) else f"{row['p_holm']:.3f}",
        "beats": verdict,
    }

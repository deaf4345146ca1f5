"""Which metrics can be trusted, and what else the statistics say: one row a metric, and short tables behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.tables.order import Record, groups, records
from gpex_bench.tables.words import interval, number

Tables = Mapping[str, pd.DataFrame]


def trust(tables: Tables, metrics: Sequence[Record], headline: str) -> dict[str, Any]:
    """Return everything about metrics; parts without a frame are empty."""
    return {
        "metrics": metric_rows(tables, metrics),
        "properties": _properties(tables),
        "blank": uninformative(tables),
        "fills": fills(tables, headline),
        "variants": variants(tables, headline),
        "variance": variance(tables, headline),
        "power": power(tables, headline),
        "planted": planted(tables),
        "opinions": opinions(tables, headline),
    }


def _frame(tables: Tables, name: str) -> pd.DataFrame | None:
    """Return a frame that has rows."""
    frame = tables.get(name)
    return None if frame is None or frame.empty else frame


def _properties(tables: Tables) -> list[str]:
    frame = _frame(tables, "trust")
    return [] if frame is None else sorted(set(frame["property"]))


def metric_rows(tables: Tables, metrics: Sequence[Record]) -> list[dict[str, Any]]:
    """Return for each metric: on how many networks it is informative, its properties, its agreement over fills."""
    informative, found, fill = (
        _frame(tables, name) for name in ("informative", "trust", "fill_agreement")
    )
    if informative is None and found is None:
        return []
    rows = []
    for record in sorted(metrics, key=lambda record: (record["measures"], record["metric"])):
        name = record["metric"]
        row: dict[str, Any] = {
            "metric": name,
            "measures": record["measures"],
            "informative": "",
            "tau": "",
        }
        if informative is not None:
            here = informative[informative["metric"] == name]
            row["informative"] = (
                f"{int(here['is_informative'].sum())} of {len(here)}" if len(here) else "not scored"
            )
        row["properties"] = [_over(found, name, wanted) for wanted in _properties(tables)]
        if fill is not None and len(part := fill.loc[fill["metric"] == name, "tau"].dropna()):
            row["tau"] = f"{part.median():.2f}"
            row["tau_ends"] = f"{part.min():.2f} to {part.max():.2f}"
        rows.append(row)
    return rows


def _over(found: pd.DataFrame | None, metric: str, wanted: str) -> dict[str, str]:
    """Return the median of a property over networks, with its range."""
    if found is None:
        return {"text": "", "ends": ""}
    part = found.loc[(found["metric"] == metric) & (found["property"] == wanted), "value"].dropna()
    if part.empty:
        return {"text": "", "ends": ""}
    ends = (
        f"{number(float(part.min()), 1.0)} to {number(float(part.max()), 1.0)}"
        if len(part) > 1
        else ""
    )
    return {"text": number(float(part.median()), 1.0), "ends": ends}


def uninformative(tables: Tables) -> list[dict[str, str]]:
    """List metrics that say nothing on a network, with the reason; networks with the same reason together."""
    frame = _frame(tables, "informative")
    if frame is None:
        return []
    bad = frame[~frame["is_informative"].astype(bool)]
    bad = bad.assign(
        network=bad["dataset"] + " (" + bad["model"] + ")",
        reason=bad["reason"].fillna("").str.rstrip("."),
    )
    return [
        {"metric": metric, "reason": reason, "networks": ", ".join(sorted(part["network"]))}
        for (metric, reason), part in groups(bad, ["metric", "reason"])
    ]


def fills(tables: Tables, headline: str) -> list[dict[str, Any]]:
    """Return Kendall's tau between every two variants of the headline metric, by network."""
    frame = _frame(tables, "fill_agreement")
    if frame is None:
        return []
    made = []
    for (dataset, model), part in groups(frame[frame["metric"] == headline], ["dataset", "model"]):
        pairs = [
            (row, f"{row['fill']}, {row['output']}", f"{row['other_fill']}, {row['other_output']}")
            for row in records(part)
        ]
        names = sorted({name for pair in pairs for name in pair[1:]})
        known = {(a, b): row["tau"] for row, a, b in pairs} | {
            (b, a): row["tau"] for row, a, b in pairs
        }
        rows = [
            {"name": one, "cells": [_tau(known.get((one, other)), one == other) for other in names]}
            for one in names
        ]
        made.append(
            {
                "dataset": dataset,
                "model": model,
                "names": names,
                "rows": rows,
                "n": int(part["n_methods"].max()),
            }
        )
    return made


def _tau(tau: float | None, is_same: bool) -> str:
    return "–" if is_same else "" if tau is None or tau != tau else f"{tau:.2f}"


def variants(tables: Tables, headline: str) -> list[dict[str, Any]]:
    """Return the scores of each method under each variant of the headline metric, by network."""
    frame = _frame(tables, "variants")
    if frame is None:
        return []
    made = []
    for (dataset, model), part in groups(frame[frame["metric"] == headline], ["dataset", "model"]):
        part = part.assign(variant=part["fill"] + ", " + part["output"])
        names = sorted(set(part["variant"]))
        cells = {
            (row["method"], row["variant"]): interval(row["mean"], row["low"], row["high"])
            for row in records(part)
        }
        first = part[part["variant"] == names[0]].set_index("method")["mean"]
        order = sorted(
            set(part["method"]), key=lambda name: (-first.get(name, float("-inf")), name)
        )
        rows = [
            {"method": name, "cells": [cells.get((name, variant), ("", "")) for variant in names]}
            for name in order
        ]
        made.append({"dataset": dataset, "model": model, "names": names, "rows": rows})
    return made


def variance(tables: Tables, headline: str) -> dict[str, Any]:
    """Return the shares of the variance of the headline score, by network."""
    frame = _frame(tables, "variance")
    if frame is None or (frame := frame[frame["metric"] == headline]).empty:
        return {"components": [], "rows": []}
    names = sorted(set(frame["component"]))
    rows = []
    for (dataset, model), part in groups(frame, ["dataset", "model"]):
        share = dict(zip(part["component"], part["share"], strict=True))
        cells = [
            f"{100 * share[name]:.1f}\u00a0%"
            if share.get(name) == share.get(name, 0) and name in share
            else ""
            for name in names
        ]
        rows.append({"dataset": dataset, "model": model, "cells": cells})
    return {"components": names, "rows": rows}


def power(tables: Tables, headline: str) -> list[dict[str, str]]:
    """Return how many images would separate the top three, in words, by network."""
    frame = _frame(tables, "power")
    if frame is None:
        return []
    return records(frame[frame["metric"] == headline].sort_values(["dataset", "model"]))


def opinions(tables: Tables, headline: str) -> list[dict[str, Any]]:
    """Return the Bayesian second opinion on the leaders, by network."""
    frame = _frame(tables, "second_opinion")
    if frame is None:
        return []
    rows = records(
        frame[frame["metric"] == headline].sort_values(["dataset", "model", "first", "second"])
    )
    shares = ("p_first", "p_equal", "p_second")
    return [
        row | {name: f"{row[name]:.3f}" for name in shares} | {"rope": number(row["rope"])}
        for row in rows
    ]


def planted(tables: Tables) -> list[dict[str, Any]]:
    """Return who finds the planted truth better than an edge detector, by network, best first."""
    frame = _frame(tables, "planted")
    if frame is None:
        return []
    made = []
    for (dataset, model), part in groups(frame, ["dataset", "model"]):
        rows = []
        for row in records(part.assign(key=-part["mean"]).sort_values(["key", "method"])):
            mean, ends = interval(row["mean"], row["low"], row["high"])
            known = row["edge_difference"] == row["edge_difference"]
            rows.append(
                {
                    "method": row["method"],
                    "value": f"{row['mean']:.8g}",
                    "mean": mean,
                    "ends": ends,
                    "difference": number(row["edge_difference"], 1.0) if known else "",
                    "p": f"{row['p_holm']:.3f}" if row["p_holm"] == row["p_holm"] else "",
                    "beats": "yes" if row["beats_edge_detector"] == True else "no" if known else "",  # noqa: E712 - may be NA
                }
            )
        made.append({"dataset": dataset, "model": model, "rows": rows})
    return made

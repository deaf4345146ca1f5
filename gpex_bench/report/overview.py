"""All methods by all metrics on one network: is a method better than maps that see no network?

Colours and signs follow the verdicts against the controls that look neither at the network nor at a
truth, never the raw scores: those of different metrics have different scales.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from gpex_bench.tables.columns import NETWORK
from gpex_bench.tables.order import (
    Record,
    blind_ids,
    control_ids,
    groups,
    method_order,
    metric_order,
    records,
)
from gpex_bench.tables.words import BETTER, WORSE

# What a cell says, with its sign. Each is of one letter in the class of its cell.
ABOVE = "better than every blind control"
SOME = "better than some blind controls, worse than none"
LEVEL = "not better than any blind control, worse than none"
BELOW = "worse than some blind control"
ALONE = "scored, without a blind control to compare with"
FAILED = "failed"
NONE = "does not apply"
SIGNS = {
    ABOVE: ("a", "●"),
    SOME: ("s", "◐"),
    LEVEL: ("l", "○"),
    BELOW: ("b", "▽"),
    ALONE: ("o", "?"),
    FAILED: ("f", "✕"),
    NONE: ("n", "·"),
}
COLUMNS = (*NETWORK, "method", "metric", "against_blind")


def overview(
    outcomes: pd.DataFrame, pairs: pd.DataFrame | None, methods: Sequence[Record]
) -> pd.DataFrame:
    """Return what each method's scores say against the blind controls, one row an outcome.

    Args:
        outcomes: one row for each dataset, model, method and metric.
        pairs: the comparisons of methods and controls; None: there are none.
        methods: cards.
    """
    words = _words(pairs, blind_ids(methods))
    controls = control_ids(methods)
    keys = ["dataset", "model", "method", "metric"]
    ours = outcomes[~outcomes["method"].isin(list(controls))]

    rows = []
    for row in records(ours[[*keys, "state"]]):
        key = tuple(row[name] for name in keys)
        rows.append((*key, _against(row["state"], words.get(key, []))))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _words(pairs: pd.DataFrame | None, blind: Collection[str]) -> dict[tuple[str, ...], list[str]]:
    """Return the verdicts of each method over the blind controls, by network, method and metric."""
    words: dict[tuple[str, ...], list[str]] = {}
    if pairs is None:
        return words

    against_blind = pairs[pairs["other"].isin(list(blind))]
    columns = [against_blind[name] for name in ("dataset", "model", "method", "metric", "verdict")]
    for *key, verdict in zip(*columns, strict=True):
        words.setdefault(tuple(key), []).append(verdict)
    return words


def _against(state: str, words: Sequence[str]) -> str:
    """Return what a cell says."""
    if state == "not_applicable":
        return NONE
    if state != "ok":
        return FAILED
    if not words:
        return ALONE
    if WORSE in words:
        return BELOW
    if BETTER not in words:
        return LEVEL
    return ABOVE if set(words) == {BETTER} else SOME


def tables(
    found: pd.DataFrame,
    outcomes: pd.DataFrame,
    methods: Sequence[Record],
    metrics: Sequence[Record],
    headline: str,
) -> list[dict[str, Any]]:
    """Return for each network the rows of signs; methods and metrics of which none applies are out.

    Methods are in the order of the headline metric; metrics come by what they measure.
    """
    measures = {card["metric"]: card["measures"] for card in metrics}
    result = []
    for (dataset, model), part in groups(found, NETWORK):
        own = part[part["against_blind"] != NONE]
        here = outcomes[outcomes["dataset"].eq(dataset) & outcomes["model"].eq(model)]
        present = set(own["metric"])
        columns = [name for name in metric_order(here, metrics, headline) if name in present]
        order = method_order(here, methods, metrics, headline)
        listed = [name for name in order if name in set(own["method"])]

        cells = {(row["method"], row["metric"]): row["against_blind"] for row in records(own)}
        rows = [
            {
                "method": name,
                "is_control": False,
                "cells": [SIGNS[cells.get((name, metric), NONE)] for metric in columns],
            }
            for name in listed
        ]
        spans = [(kind, len(list(names))) for kind, names in groupby(columns, measures.get)]
        network = {"dataset": dataset, "model": model}
        result.append({**network, "columns": columns, "spans": spans, "rows": rows})
    return result


def legend(found: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return letter, sign and meaning of what is in the tables."""
    present = set(found["against_blind"])
    return [(*SIGNS[text], text) for text in SIGNS if text in present]


def blank_columns(blank: Mapping[tuple[str, str, str], str], dataset: str, model: str) -> set[str]:
    """Return the metrics that cannot be used on a network."""
    return {metric for own, network, metric in blank if (own, network) == (dataset, model)}

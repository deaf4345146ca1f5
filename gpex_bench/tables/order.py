"""In which order rows, methods and metrics come, and how they are grouped.

`outcomes` is the frame that tables, figures and the report read: one row per dataset, model, method
and metric, with a `state` that says whether there is a number. A row without the state `ok` holds
no number anywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.tables.columns import KEYS, MAIN_CURVE, NETWORK

# What a metric measures, in the order of all tables and pages.
METRIC_KINDS = (
    "faithfulness",
    "truth",
    "robustness",
    "randomisation",
    "complexity",
    "axiom",
    "examples",
)

Record = Mapping[str, Any]  # what is known about one method or metric


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with its key columns first and its rows sorted by them."""
    keys = [key for key in KEYS if key in frame.columns]
    rest = [column for column in frame.columns if column not in keys]
    frame = frame[[*keys, *rest]]
    if not keys:
        return frame

    return frame.sort_values(keys, kind="stable").reset_index(drop=True)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dictionaries by column name."""
    return [{str(name): entry for name, entry in row.items()} for row in frame.to_dict("records")]


def main_curves(means: pd.DataFrame) -> pd.DataFrame:
    """Return the mean removal curves behind the scores.

    Single positions are replaced by the dataset's baseline, and the output is the probability; of
    networks that give a number, its value.
    """
    is_main = means[list(MAIN_CURVE)].eq(pd.Series(MAIN_CURVE)).all(axis=1)
    curves = means[is_main]
    is_probability = curves["output"].eq("probability")
    has_probability = is_probability.groupby([curves[name] for name in NETWORK]).transform("any")
    is_value = curves["output"].eq("logit") & ~has_probability.astype(bool)
    return curves[is_probability | is_value].reset_index(drop=True)


def groups(frame: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yield the rows of each combination of the keys (a tuple), in sorted order."""
    yield from frame.groupby(list(keys), sort=True)


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by size: "row 2" before "row 10"."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def surrogate_order(agreement: pd.DataFrame) -> list[str]:
    """Return the surrogates of one dataset and model, by mean R² on test items, best first."""
    chosen = (
        (agreement["head"] == "all")
        & (agreement["statistic"] == "mean_r2")
        & (agreement["split"] == "test")
    )
    known = agreement[chosen].dropna(subset="mean")
    score = dict(zip(known["surrogate"], known["mean"], strict=True))
    return sorted(set(agreement["surrogate"]), key=lambda name: (-score.get(name, -math.inf), name))


def control_ids(methods: Sequence[Record], role: str | None = None) -> frozenset[str]:
    """Return the run ids of the controls, or of those with one role: a run id may be any name."""
    return frozenset(
        record["method"]
        for record in methods
        if record["kind"] == "control" and role in (None, record["role"])
    )


def blind_ids(methods: Sequence[Record]) -> frozenset[str]:
    """Return the run ids of the controls that look neither at the network nor at a truth."""
    return frozenset(
        record["method"] for record in methods if record["kind"] == "control" and record["is_blind"]
    )


def surrogates_used(methods: Sequence[Record]) -> frozenset[str]:
    """Return the run ids of the surrogates that some method explains with."""
    return frozenset(record["surrogate"] for record in methods if record["surrogate"])


def method_order(
    outcomes: pd.DataFrame, methods: Sequence[Record], metrics: Sequence[Record], key: str
) -> list[str]:
    """Return the methods of one dataset and model in the order of tables.

    Best first by the metric `key`, then those without a score, then the controls.
    """
    higher_is_better = {record["metric"]: record["higher_is_better"] for record in metrics}
    sign = 1 if higher_is_better.get(key, True) else -1
    is_scored = (outcomes["metric"] == key) & (outcomes["state"] == "ok")
    scored = outcomes[is_scored]
    goodness = sign * scored["mean"]
    score = dict(zip(scored["method"], goodness, strict=True))
    controls = control_ids(methods)

    def place(name: str) -> tuple[bool, float, str]:
        # Methods without a score come after all that have one.
        good = score.get(name, -math.inf)
        return name in controls, -good, name

    return sorted(set(outcomes["method"]), key=place)


def metric_order(outcomes: pd.DataFrame, metrics: Sequence[Record], key: str) -> list[str]:
    """Return the metrics of these outcomes: `key` first, then by what they measure and by name."""
    measures = {record["metric"]: record["measures"] for record in metrics}
    first_kind = measures.get(key, "")
    rank = {kind: place for place, kind in enumerate(METRIC_KINDS)}
    last = len(rank)

    def place(name: str) -> tuple[bool, bool, int, str]:
        kind = measures.get(name, "")
        return name != key, kind != first_kind, rank.get(kind, last), name

    return sorted(set(outcomes["metric"]), key=place)

"""The frames that travel between the last stages: their columns, their order, and how a number is written in them.

`outcomes` is the frame that tables, figures and the report read: one row per dataset, model, method and metric, with a
`state` that says whether there is a number. A row without the state `ok` holds no number anywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

RANDOM = (
    "RandomMap",
    "RandomExamples",
)  # classes of the controls whose scores mean "no information"
BLIND = (
    *RANDOM,
    "Constant",
    "EdgeDetector",
    "InputItself",
)  # ... that look neither at the network nor at a truth
KEYS = (
    "dataset",
    "model",
    "seed",
    "surrogate",
    "method",
    "metric",
    "split",
    "head",
    "sample",
    "target",
)
SCORES = ("dataset", "model", "seed", "method", "metric", "sample", "score")
CELLS = (
    "dataset",
    "model",
    "seed",
    "method",
    "status",
    "reason",
    "n_samples",
    "forward_rows",
    "backward_rows",
)
SKIPPED = ("dataset", "model", "method", "metric", "status", "reason")
COSTS = ("dataset", "model", "seed", "method", "wall_seconds", "peak_bytes")
SURROGATES = (
    "dataset",
    "model",
    "seed",
    "surrogate",
    "status",
    "reason",
)  # what became of each fit
SURROGATE_COSTS = ("dataset", "model", "seed", "surrogate", "wall_seconds", "peak_bytes")
AGREEMENT = ("dataset", "model", "seed", "surrogate", "split", "head", "statistic", "value")
PREDICTIONS = (
    "dataset",
    "model",
    "seed",
    "surrogate",
    "split",
    "sample",
    "head",
    "network",
    "mean",
)
VARIANT_SCORES = (*SCORES[:5], "fill", "output", "sample", "score")
CURVE_KIND = ("unit", "fill", "n_steps", "output", "order")
CURVE_MEANS = ("dataset", "model", "method", *CURVE_KIND, "fraction", "mean", "low", "high")
SUMMARY = (
    "dataset",
    "model",
    "method",
    "metric",
    "mean",
    "low",
    "high",
    "seed_sd",
    "n_samples",
    "n_seeds",
)
MARKS = ("difference", "p_value", "is_best", "is_best_group")
MAIN_CURVE = {"unit": "position", "fill": "baseline", "n_steps": 28, "output": "probability"}
OUTCOMES = (*SUMMARY, *MARKS, "mark", "state", "reason", "n_seeds_planned")
SPLITS = {
    "test": "test",
    "mixed": "mixed",
    "ood": "out-of-distribution",
}  # of agreement, as they are called

Record = Mapping[str, Any]  # what is known about one method or metric


def require(frame: pd.DataFrame, columns: Iterable[str], name: str) -> pd.DataFrame:
    """Return the frame if it has these columns.

    Raises:
        ValueError: names the frame and the columns that it lacks.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"{name} lacks the columns {missing}; it has {list(frame.columns)}.")
    return frame


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with its key columns first and its rows sorted by them."""
    keys = [key for key in KEYS if key in frame.columns]
    rest = [column for column in frame.columns if column not in keys]
    frame = frame[[*keys, *rest]]
    return frame.sort_values(keys, kind="stable").reset_index(drop=True) if keys else frame


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dictionaries by column name."""
    return [{str(name): entry for name, entry in row.items()} for row in frame.to_dict("records")]


def main_curves(means: pd.DataFrame) -> pd.DataFrame:
    """Return the mean removal curves behind the scores: positions go, the dataset's baseline comes, in probability."""
    of = means[list(MAIN_CURVE)].eq(pd.Series(MAIN_CURVE)).all(axis=1)
    return means[of].reset_index(drop=True)


def groups(frame: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yield the rows of each combination of the keys (a tuple), in sorted order."""
    yield from frame.groupby(list(keys), sort=True)


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by size: "row 2" before "row 10"."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def surrogate_order(agreement: pd.DataFrame) -> list[str]:
    """Return the surrogates of one dataset and model, the one with the highest mean R² on test items first."""
    chosen = (
        (agreement["head"] == "all")
        & (agreement["statistic"] == "mean_r2")
        & (agreement["split"] == "test")
    )
    score = agreement[chosen].dropna(subset="mean").set_index("surrogate")["mean"].to_dict()
    return sorted(set(agreement["surrogate"]), key=lambda name: (-score.get(name, -math.inf), name))


def decimals(scale: float) -> int | None:
    """Return how many decimals a number of this size is written with, or None where powers of ten read better."""
    if scale == 0 or 0.02 <= scale < 1000:
        return 3 if scale == 0 else max(0, min(3, 2 - math.floor(math.log10(scale))))
    return 4 if 0.001 <= scale < 0.02 else None


def number(value: float, scale: float | None = None) -> str:
    """Write a number with about three digits; numbers of one scale get the same decimals."""
    if not math.isfinite(value):
        return "not known"
    places = decimals(abs(value) if scale is None else scale)
    text = f"{value:.2e}" if places is None else f"{value:.{places}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def below_one(value: float, places: int = 3) -> str:
    """Write a correlation or the like; one that is not quite 1 gets more decimals (up to 6) than to read 1."""
    if not math.isfinite(value):
        return "undefined"
    while places < 6 and value < 1 and float(f"{value:.{places}f}") == 1:
        places += 1
    return f"{value:.{places}f}"


def interval(mean: float, low: float, high: float) -> tuple[str, str]:
    """Write a mean and its interval with the same decimals: ("0.812", "[0.790, 0.831]")."""
    ends = [end for end in (mean, low, high) if math.isfinite(end)]
    scale = max(abs(end) for end in ends) if ends else 0.0
    if not (math.isfinite(low) and math.isfinite(high)):
        return number(mean, scale), "[one sample]"
    return number(mean, scale), f"[{number(low, scale)}, {number(high, scale)}]"


def wording(status: str, reason: str) -> str:
    """Say why a cell has no number: "failed: ...", "failed (timeout): ..." or "n/a: ..."."""
    if status == "ok":
        raise ValueError(
            "A cell with the status 'ok' has a number; wording is for cells without one."
        )
    label = {"failed": "failed", "not_applicable": "n/a", "missing": "missing"}.get(
        status, f"failed ({status})"
    )
    return f"{label}: {reason}"


def partial(row: Mapping[Any, Any]) -> str:
    """Say how many training seeds are in a number, if not all: "2 of 3 seeds"."""
    few = row["n_seeds"] < row["n_seeds_planned"]
    return f"{row['n_seeds']:.0f} of {row['n_seeds_planned']:.0f} seeds" if few else ""


def blocks(
    outcomes: pd.DataFrame, metrics: Sequence[Record]
) -> list[tuple[pd.DataFrame, dict[str, str]]]:
    """Split the outcomes of one dataset and model into metrics of attributions and of examples.

    Methods and metrics of which nothing applies are left out of a part; beside it stands why, by name.
    """
    examples = {record["metric"] for record in metrics if record["measures"] == "examples"}
    of_examples = outcomes["metric"].isin(examples)
    parts = []
    for part in (outcomes[~of_examples], outcomes[of_examples]):
        left_out: dict[str, str] = {}
        for key in ("method", "metric"):
            outside = part.groupby(key).filter(
                lambda rows: (rows["state"] == "not_applicable").all()
            )
            left_out |= {
                str(name): "; ".join(sorted(set(rows["reason"])))
                for name, rows in outside.groupby(key)
            }
            part = part[~part[key].isin(list(left_out))]
        if len(part):
            parts.append((part, left_out))
    return parts


def controls(methods: Sequence[Record], classes: Collection[str] | None = None) -> frozenset[str]:
    """Return the run ids of the controls, or of those of some classes: a run id may be any name."""
    ours = [record for record in methods if record["kind"] == "control"]
    return frozenset(
        record["method"] for record in ours if classes is None or record["class"] in classes
    )


def blind(methods: Sequence[Record]) -> frozenset[str]:
    """Return the run ids of the controls `BLIND`, and of wrappers around one: a blurred edge map is as blind."""
    innermost = [
        {**record, "class": record.get("changes") or record["class"]} for record in methods
    ]
    return controls(innermost, BLIND)


def method_order(
    outcomes: pd.DataFrame, methods: Sequence[Record], metrics: Sequence[Record], key: str
) -> list[str]:
    """Return the methods of one dataset and model: best first by the metric `key`, then the unscored, then controls."""
    sign = next(
        (1 if record["higher_is_better"] else -1 for record in metrics if record["metric"] == key),
        1,
    )
    scored = outcomes[(outcomes["metric"] == key) & (outcomes["state"] == "ok")]
    score = dict(zip(scored["method"], sign * scored["mean"], strict=True))
    ours = controls(methods)
    return sorted(
        set(outcomes["method"]), key=lambda name: (name in ours, -score.get(name, -math.inf), name)
    )


def metric_order(outcomes: pd.DataFrame, metrics: Sequence[Record], key: str) -> list[str]:
    """Return the metrics of these outcomes: `key` first, then by what they measure and by name."""
    measures = {record["metric"]: record["measures"] for record in metrics}
    first = measures.get(key, "")
    order = ["faithfulness", "truth", "robustness", "complexity", "axiom", "examples"]
    rank = {kind: place for place, kind in enumerate(order)}

    def place(name: str) -> tuple[bool, bool, int, str]:
        kind = measures.get(name, "")
        return name != key, kind != first, rank.get(kind, len(rank)), name

    return sorted(set(outcomes["metric"]), key=place)

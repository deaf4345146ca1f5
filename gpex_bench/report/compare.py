"""What differs between two runs: a frame, and a page for a terminal or a pull request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.report import templates
from gpex_bench.tables.columns import require
from gpex_bench.tables.order import Record, records
from gpex_bench.tables.render import plain_markdown
from gpex_bench.tables.words import number

KEY = ("dataset", "model", "method", "metric")
NUMBERS = ("mean", "low", "high")

# From this relative change on a number counts as moved; below it, it is rounding.
RELATIVE = 1e-6
ABSOLUTE = 1e-12


def compare(outcomes_a: pd.DataFrame, outcomes_b: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each number, state or mark that differs between two runs.

    `kind` is number, state, mark, only_a or only_b. `change` is b - a. `is_beyond_intervals` says
    whether the change is larger than the two intervals explain together: the root of the sum of
    their squared half widths, as for independent samples. Two runs on the same samples move less
    than that by chance.

    Args:
        outcomes_a: of the first run, one row for each dataset, model, method and metric.
        outcomes_b: of the second run.

    Raises:
        ValueError: a frame lacks a column.
    """
    columns = [*KEY, *NUMBERS, "state", "mark"]
    a = require(outcomes_a, columns, "outcomes_a")[columns]
    b = require(outcomes_b, columns, "outcomes_b")[columns]
    both = a.merge(
        b,
        on=list(KEY),
        how="outer",
        suffixes=("_a", "_b"),
        indicator=True,
    )

    half_a = (both["high_a"] - both["low_a"]) / 2
    half_b = (both["high_b"] - both["low_b"]) / 2
    explained = np.sqrt(half_a**2 + half_b**2)
    both["change"] = both["mean_b"] - both["mean_a"]
    both["is_beyond_intervals"] = both["change"].abs() > explained

    both["kind"] = _kinds(both)
    differences = both[both["kind"] != ""].drop(columns="_merge")
    return differences.reset_index(drop=True)


def _kinds(both: pd.DataFrame) -> np.ndarray:
    """Return what differs in each row; the first that holds, empty where nothing does."""
    is_equal = np.isclose(
        both["mean_a"], both["mean_b"], rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True
    )
    conditions = {
        "only_a": both["_merge"] == "left_only",
        "only_b": both["_merge"] == "right_only",
        "state": both["state_a"] != both["state_b"],
        "number": ~is_equal,
        "mark": both["mark_a"] != both["mark_b"],
    }
    return np.select(list(conditions.values()), list(conditions), default="")


def page(differences: pd.DataFrame, name_a: str, name_b: str) -> str:
    """Return the differences as Markdown.

    Numbers that moved beyond their intervals come first, then states and marks; the other numbers
    are counted.

    Args:
        differences: the frame of `compare`.
        name_a: of the first run.
        name_b: of the second run.
    """
    kind = differences["kind"]
    moved = differences[kind == "number"]
    beyond = moved[moved["is_beyond_intervals"].astype(bool)]
    table = pd.DataFrame([_number(row, name_a, name_b) for row in records(beyond)])

    return templates.render(
        "compare.md.j2",
        name_a=name_a,
        name_b=name_b,
        n_moved=len(moved),
        n_beyond=len(beyond),
        table=plain_markdown(table).rstrip() if len(table) else "",
        states=_changes(differences[kind == "state"], "state"),
        marks=_changes(differences[kind == "mark"], "mark"),
        only_a=records(differences[kind == "only_a"]),
        only_b=records(differences[kind == "only_b"]),
    )


def _number(row: Record, name_a: str, name_b: str) -> dict[str, str]:
    """Return one number that moved, as text."""
    return {
        "network": f"{row['dataset']} ({row['model']})",
        "method": row["method"],
        "metric": row["metric"],
        name_a: _interval(row, "a"),
        name_b: _interval(row, "b"),
        "change": number(row["change"]),
    }


def _interval(row: Record, run: str) -> str:
    """Return mean and interval of one run."""
    mean, low, high = (number(row[f"{name}_{run}"]) for name in NUMBERS)
    return f"{mean} [{low}, {high}]"


def _changes(rows: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    """Return key, old and new text of each row; a missing text is "none"."""
    before = rows[f"{column}_a"].fillna("").replace("", "none")
    after = rows[f"{column}_b"].fillna("").replace("", "none")
    return records(rows[list(KEY)].assign(before=before, after=after))

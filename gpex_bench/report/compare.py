"""What moved between two runs, in lines for a terminal or a pull request."""

from __future__ import annotations

import pandas as pd

from gpex_bench.tables.frames import Record, number, records
from gpex_bench.tables.render import plain_markdown


def sentences(found: pd.DataFrame, name_a: str, name_b: str) -> list[str]:
    """Return what `inference.variants.compare` found: what moved beyond the intervals, what changed its state or mark.

    Args:
        found: one row for each number, state or mark that differs.
        name_a: of the first run.
        name_b: of the second.
    """
    if found.empty:
        return [f"{name_a} and {name_b} have the same numbers, states and marks."]
    moved = found[found["kind"] == "number"]
    beyond = moved["is_beyond_intervals"].astype(bool)
    lines = [
        f"{len(moved)} numbers moved from {name_a} to {name_b}, {int(beyond.sum())} of them by more than their "
        "intervals."
    ]
    if beyond.any():
        lines += [
            "",
            plain_markdown(
                pd.DataFrame([_number(row, (name_a, name_b)) for row in records(moved[beyond])])
            ).rstrip(),
        ]
    for kind, words in (("state", "Changed their state"), ("mark", "Changed their mark only")):
        rows = records(found[found["kind"] == kind])
        if rows:
            lines += ["", f"{words}: {len(rows)}"]
            lines += [
                f"- {_where(row)}: {_said(row[f'{kind}_a'])} → {_said(row[f'{kind}_b'])}"
                for row in rows
            ]
    for kind, name in (("only_a", name_a), ("only_b", name_b)):
        rows = records(found[found["kind"] == kind])
        if rows:
            lines += ["", f"Only in {name}: {len(rows)}", *(f"- {_where(row)}" for row in rows)]
    return lines


def _where(row: Record) -> str:
    return f"{row['dataset']} ({row['model']}), {row['method']}, {row['metric']}"


def _said(text: object) -> str:
    return str(text) if isinstance(text, str) and text else "none"


def _number(row: Record, names: tuple[str, str]) -> dict[str, str]:
    """Return one number that moved, as text."""
    keys = {
        "network": f"{row['dataset']} ({row['model']})",
        "method": row["method"],
        "metric": row["metric"],
    }
    ends = {
        name: f"{number(row[f'mean_{run}'])} [{number(row[f'low_{run}'])}, {number(row[f'high_{run}'])}]"
        for name, run in zip(names, "ab", strict=True)
    }
    return keys | ends | {"change": number(row["change"])}

"""Frames as text: CSV for machines, Markdown for pull requests, LaTeX (booktabs) for papers.

All three are functions of the frame's content alone: rows are sorted by their keys, so the order in
which cells were computed never shows. A cell without a number says why instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.tables.columns import NETWORK, OUTCOMES, require
from gpex_bench.tables.order import Record, groups, method_order, metric_order, ordered, records
from gpex_bench.tables.words import interval, partial, wording

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def csv(frame: pd.DataFrame) -> str:
    """Return the frame as CSV.

    Key columns first, rows sorted by them, eight significant digits, LF line ends.
    """
    return ordered(frame).to_csv(index=False, float_format="%.8g", lineterminator="\n")


def cell_text(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a reader sees of one outcome, and its mark (`statistics.outcomes`)."""
    if row["state"] != "ok":
        return wording(row["state"], row["reason"]), ""

    mean, ends = interval(row["mean"], row["low"], row["high"])
    text = f"{mean} {ends}"
    seeds = partial(row)
    if seeds:
        text = f"{text} ({seeds})"
    return text, row["mark"]


def wide(
    outcomes: pd.DataFrame, methods: Sequence[Record], metrics: Sequence[Record], headline: str
) -> dict[tuple[str, str], pd.DataFrame]:
    """Return, by dataset and model, a frame method x metric of (text, mark).

    Methods come best first by the headline metric.
    """
    require(outcomes, OUTCOMES, "outcomes")

    tables = {}
    for (dataset, model), block in groups(ordered(outcomes), NETWORK):
        cells = [cell_text(row) for row in records(block)]
        table = block.assign(cell=pd.Series(cells, index=block.index))
        table = table.pivot(index="method", columns="metric", values="cell")

        rows = method_order(block, methods, metrics, headline)
        columns = metric_order(block, metrics, headline)
        tables[str(dataset), str(model)] = table.loc[rows, columns]
    return tables


def markdown(table: pd.DataFrame) -> str:
    """Return a wide table of (text, mark) as Markdown.

    The best in bold; "=" is equal to it, "~" is not shown to differ.
    """
    style = {"best": "**{}**", "equal": "{} =", "open": "{} ~"}
    shown = table.map(lambda cell: style.get(cell[1], "{}").format(cell[0])).reset_index()
    return plain_markdown(shown)


def plain_markdown(frame: pd.DataFrame) -> str:
    """Return a frame of text as aligned Markdown."""
    rows = [list(frame.columns), *frame.itertuples(index=False)]
    cells = [[_markdown_cell(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]

    # The rule below the head.
    rule = ["-" * width for width in widths]
    cells.insert(1, rule)

    lines = []
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(f"| {' | '.join(padded)} |\n")
    return "".join(lines)


def _markdown_cell(cell: object) -> str:
    """Return a cell without what would end it."""
    return str(cell).replace("|", "\\|").replace("\n", " ")


def latex(table: pd.DataFrame, caption: str, label: str) -> str:
    """Return a wide table of (text, mark) for LaTeX with booktabs.

    Bold where the best is significantly better than all others.
    """
    style = {"best": r"\textbf{{{}}}", "equal": r"{}$^{{=}}$", "open": r"{}$^{{\sim}}$"}
    body = table.map(lambda cell: style.get(cell[1], "{}").format(escape(cell[0]))).reset_index()
    head = [escape(str(name)) for name in body.columns]
    rows = [[escape(str(row[0])), *row[1:]] for row in body.itertuples(index=False)]

    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{'l' * len(body.columns)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return text as LaTeX shows it literally."""
    escaped = "".join(LATEX.get(character, character) for character in text)
    # A hyphen before a number is a minus sign.
    return re.sub(r"(?<![\w.])-(?=\d)", "$-$", escaped)

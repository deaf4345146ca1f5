"""The report in short: Markdown for a pull request, and the ranking for a paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from gpex_bench.report import templates
from gpex_bench.tables.render import escape, plain_markdown

# Methods in the table of the summary.
N_ROWS = 10

MARKDOWN = {"best": "**{}**", "equal": "{} =", "open": "{} ~"}
LATEX = {"best": r"\textbf{{{}}}", "equal": r"{}$^{{=}}$", "open": r"{}$^{{\sim}}$"}


def markdown(run: str, headline: str, page: Mapping[str, Any]) -> str:
    """Return the verdict, each network, the first of the ranking, and what failed.

    Args:
        run: name of the run.
        headline: run id of the metric that the verdict is about.
        page: the content of the report.
    """
    table = _first_rows(page["ranking"], headline)
    return templates.render(
        "summary.md.j2",
        run=run,
        n_rows=len(table),
        table=plain_markdown(table).rstrip() if len(table) else "",
        **page,
    )


def _first_rows(ranking: Mapping[str, Any], headline: str) -> pd.DataFrame:
    """Return the first methods of the ranking, controls left out, as text."""
    rows = []
    for row in ranking["rows"]:
        if row["is_control"]:
            continue

        texts = {"method": row["method"]}
        if ranking["has_ranks"]:
            texts["mean rank"] = _rank(row)
        for (dataset, model), cell in zip(ranking["networks"], row["scores"], strict=True):
            texts[f"{headline}, {dataset} ({model})"] = _markdown_cell(cell)
        rows.append(texts)
    return pd.DataFrame(rows[:N_ROWS])


def _rank(row: Mapping[str, Any]) -> str:
    """Return mean rank and interval; empty if a method has none."""
    return f"{row['rank']['mean']} {row['rank']['ends']}".strip()


def _markdown_cell(cell: Mapping[str, Any]) -> str:
    """Return a score as Markdown: the best in bold, "=" equal, "~" not shown to differ."""
    if cell["kind"] != "ok":
        return str(cell["text"])

    text = MARKDOWN.get(cell["mark"], "{}").format(f"{cell['mean']} {cell['ends']}")
    return f"{text} ({cell['partial']})" if cell["partial"] else text


def latex(ranking: Mapping[str, Any], headline: str) -> str:
    """Return the ranking for LaTeX with booktabs.

    Bold: significantly better than all other methods on that network.
    """
    head = ["method"]
    if ranking["has_ranks"]:
        head.append("mean rank")
    head += [f"{dataset} ({model})" for dataset, model in ranking["networks"]]

    methods: list[str] = []
    controls: list[str] = []
    for row in ranking["rows"]:
        line = _latex_line(row, ranking["has_ranks"])
        (controls if row["is_control"] else methods).append(line)

    return templates.render(
        "ranking.tex.j2",
        headline=headline,
        head=[escape(name) for name in head],
        methods=methods,
        controls=controls,
    )


def _latex_line(row: Mapping[str, Any], has_ranks: bool) -> str:
    """Return one row."""
    cells = [escape(row["method"])]
    if has_ranks:
        rank = _rank(row)
        cells.append(escape(rank))

    for cell in row["scores"]:
        cells.append(_latex_cell(cell))
    return " & ".join(cells) + r" \\"


def _latex_cell(cell: Mapping[str, Any]) -> str:
    """Return a score for LaTeX."""
    if cell["kind"] != "ok":
        return "n/a" if cell["kind"] == "na" else "failed"
    return LATEX.get(cell["mark"], "{}").format(escape(f"{cell['mean']} {cell['ends']}"))

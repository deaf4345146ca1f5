"""The report in short: Markdown for a pull request, and the ranking for a paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from gpex_bench.report import templates
from gpex_bench.tables.render import escape, plain_markdown

# Methods in the table of the summary.
N_ROWS = 10

# How scores are set off: of methods that lead, and of those that no other one beats.
MARKDOWN = {"leads": "**{}**", "unbeaten": "{} *"}
LATEX = {"leads": r"\textbf{{{}}}", "unbeaten": r"{}$^{{*}}$"}


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
        for (dataset, model), cell in zip(ranking["networks"], row["scores"], strict=True):
            texts[f"{headline}, {dataset} ({model})"] = _markdown_cell(cell)
        rows.append(texts)
    return pd.DataFrame(rows[:N_ROWS])


def _markdown_cell(cell: Mapping[str, Any]) -> str:
    """Return a score as Markdown, and the place: a leader in bold, the unbeaten with a star."""
    if cell["kind"] != "ok":
        return str(cell["text"])

    text = MARKDOWN.get(cell["answer"], "{}").format(f"{cell['mean']} {cell['ends']}")
    if cell["place"]:
        text = f"{cell['place']}: {text}"
    return f"{text} ({cell['partial']})" if cell["partial"] else text


def latex(ranking: Mapping[str, Any], headline: str) -> str:
    """Return the ranking for LaTeX with booktabs; leaders are bold, the unbeaten have a star."""
    head = ["method"]
    head += [f"{dataset} ({model})" for dataset, model in ranking["networks"]]

    methods: list[str] = []
    controls: list[str] = []
    for row in ranking["rows"]:
        line = _latex_line(row)
        (controls if row["is_control"] else methods).append(line)

    return templates.render(
        "ranking.tex.j2",
        headline=headline,
        head=[escape(name) for name in head],
        methods=methods,
        controls=controls,
    )


def _latex_line(row: Mapping[str, Any]) -> str:
    """Return one row."""
    cells = [escape(row["method"])]
    for cell in row["scores"]:
        cells.append(_latex_cell(cell))
    return " & ".join(cells) + r" \\"


def _latex_cell(cell: Mapping[str, Any]) -> str:
    """Return a score for LaTeX."""
    if cell["kind"] != "ok":
        return "n/a" if cell["kind"] == "na" else "failed"
    score = LATEX.get(cell["answer"], "{}").format(escape(f"{cell['mean']} {cell['ends']}"))
    return f"{cell['place']}: {score}" if cell["place"] else score

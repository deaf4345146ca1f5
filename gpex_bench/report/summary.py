"""The report in short: Markdown for a pull request, and the ranking for a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.tables.render import escape, plain_markdown

N_ROWS = 10


def markdown(run: str, headline: str, page: Mapping[str, Any]) -> str:
    """Return verdict, counts, answers for each network, the first of the ranking, and what failed."""
    counts = page["counts"]
    seeds = "seed" if counts["seeds"] == 1 else "seeds"
    parts = [f"# gpex-bench: {run}", *page["sentences"]]
    parts.append(
        f"{counts['methods']} methods and {counts['metrics']} metrics on {counts['networks']} trained networks "
        f"({counts['seeds']} training {seeds}): of {counts['cells']} cells {counts['ok']} are ok, "
        f"{counts['failed']} failed, {counts['not_applicable']} do not apply."
    )
    parts.append(
        "## Each network\n\n"
        + "\n".join(f"- {sentence}{_beside(one)}" for one, sentence in page["findings"])
    )
    table = _ranking(page["ranking"], headline)
    if len(table):
        parts.append(
            f"## Ranking\n\nThe first {len(table)}; mean and 95 % interval.\n\n{plain_markdown(table)}".rstrip()
        )
    failed = [
        f"- {row['method']} on {row['dataset']} ({row['model']}), seeds {row['seeds']}: {row['text']}"
        for row in page["failures"]
    ]
    failed += [
        f"- {', '.join(row['metrics'])} of {row['method']} on {row['dataset']} ({row['model']}): {row['text']}"
        for row in page["failed_metrics"]
    ]
    if failed:
        parts.append("## Failed\n\n" + "\n".join(failed))
    blank = [
        f"- {row['metric']} on {row['networks']}: {row['reason']}" for row in page["trust"]["blank"]
    ]
    if blank:
        parts.append("## Not informative, in no ranking\n\n" + "\n".join(blank))
    return "\n\n".join(parts) + "\n"


def _beside(finding: Any) -> str:
    """Return cost and match in words."""
    parts = [f"{finding.rows} rows through the network for one explanation"] if finding.rows else []
    parts += [
        f"{match.surrogate}: mean r {match.mean_r}, weakest head {match.weakest} ({match.weakest_r})"
        for match in finding.matches
        if match.mean_r
    ]
    return f" {'; '.join(parts)}." if parts else ""


def _ranking(ranking: Mapping[str, Any], headline: str) -> pd.DataFrame:
    """Return the first methods as text."""
    rows = [
        {"method": row["method"]}
        | (
            {"mean rank": " ".join(filter(None, (row["rank"]["mean"], row["rank"]["ends"])))}
            if ranking["has_ranks"]
            else {}
        )
        | {
            f"{headline}, {dataset} ({model})": _text(cell)
            for (dataset, model), cell in zip(ranking["networks"], row["scores"], strict=True)
        }
        for row in ranking["rows"]
        if not row["is_control"]
    ]
    return pd.DataFrame(rows[:N_ROWS])


def _text(cell: Mapping[str, Any]) -> str:
    """Return a score as Markdown: best in bold, ties with an equals sign."""
    if cell["kind"] != "ok":
        return str(cell["text"])
    style = {"best": "**{}**", "tied": "{} ="}.get(cell["mark"], "{}")
    return style.format(f"{cell['mean']} {cell['ends']}") + (
        f" ({cell['partial']})" if cell["partial"] else ""
    )


def latex(ranking: Mapping[str, Any], headline: str) -> str:
    """Return the ranking for LaTeX with booktabs; bold where a method is told from all others on that network."""
    head = ["method", *(["mean rank"] if ranking["has_ranks"] else [])]
    head += [f"{dataset} ({model})" for dataset, model in ranking["networks"]]
    lines = [_line(row, ranking["has_ranks"]) for row in ranking["rows"]]
    split = [
        line for line, row in zip(lines, ranking["rows"], strict=True) if not row["is_control"]
    ]
    apart = [line for line, row in zip(lines, ranking["rows"], strict=True) if row["is_control"]]
    caption = (
        f"{headline}: mean and 95 % interval on each network, and mean rank over networks. Bold: told from every other "
        "method; equals sign: cannot be told from the best. Controls stand below the line."
    )
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(caption)}}}",
            r"\label{tab:ranking}",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            " & ".join(escape(name) for name in head) + r" \\",
            r"\midrule",
            *split,
            *([r"\midrule", *apart] if apart else []),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _line(row: Mapping[str, Any], has_ranks: bool) -> str:
    """Return one row."""
    cells: Sequence[str] = [_tex(cell) for cell in row["scores"]]
    rank = (
        [escape(" ".join(filter(None, (row["rank"]["mean"], row["rank"]["ends"]))))]
        if has_ranks
        else []
    )
    return " & ".join([escape(row["method"]), *rank, *cells]) + r" \\"


def _tex(cell: Mapping[str, Any]) -> str:
    """Return a score for LaTeX."""
    if cell["kind"] != "ok":
        return "n/a" if cell["kind"] == "na" else "failed"
    style = {"best": r"\textbf{{{}}}", "tied": r"{}$^{{=}}$"}.get(cell["mark"], "{}")
    return style.format(escape(f"{cell['mean']} {cell['ends']}"))

"""Agreement of a grid of settings → the study's table, figure and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from gpex_bench.stages.aggregate import stack
from gpex_bench.statistics.seeds import needed
from gpex_bench.studies.answer import Answer
from gpex_bench.studies.grid import figure, measure
from gpex_bench.studies.grid.expansion import Setting, is_number
from gpex_bench.studies.grid.figure import Scale
from gpex_bench.studies.grid.plan import Grid
from gpex_bench.tables.columns import AGREEMENT
from gpex_bench.tables.render import plain_markdown
from gpex_bench.tables.words import interval, partial, wording

FEW = '; so few seeds miss differences of the size of that spread, and "cannot be told" does not mean "equal"'


def answer(  # noqa: PLR0913 - the grid, what was found, and what it cost
    asked: Grid,
    grid: Sequence[Setting],
    *,
    agreement: Iterable[pd.DataFrame],
    costs: pd.DataFrame,
    reasons: dict[str, str],
    n_seeds: int,
) -> Answer:
    """Answer a study's question.

    Args:
        asked: the question, what to show, and how.
        grid: every surrogate on every network.
        agreement: tables of single cells.
        costs: wall_seconds of every fit that succeeded.
        reasons: why a fit failed, by "dataset/model/surrogate" of its run ids.
        n_seeds: training seeds of the run.
    """
    points = [{"ids": (at.dataset, at.model, at.surrogate), "labels": at.labels} for at in grid]
    found = measure.values(stack(agreement, AGREEMENT), costs)
    table = measure.summarise(found, points, asked.statistics, asked.splits, n_seeds)
    table["reason"] = [reasons.get(place, "") for place in table["id"]]
    is_ordered = all(is_number(at.labels[asked.x]) for at in grid if asked.x in at.labels)
    scale = Scale(asked.question, asked.x, asked.hue, is_ordered, asked.log)
    said = measure.sentences(
        table, found, x=asked.x, hue=asked.hue, better=asked.better, is_ordered=is_ordered
    )
    return Answer(
        table=table,
        drawings={"figure": figure.study(table, scale)},
        sentences=_page(asked, said, _markdown(table), n_seeds),
    )


def _markdown(table: pd.DataFrame) -> str:
    """Return one line per grid point, one column per statistic: mean and interval, or why there is no number."""
    rows = []
    for _, block in table.groupby("id", sort=False):
        labels = block.iloc[0][list(table.columns[: list(table.columns).index("id")])].dropna()
        row = {name: str(label) for name, label in labels.items()}
        for cell in block.to_dict("records"):
            name = f"{cell['statistic']} ({cell['split']})" if cell["split"] else cell["statistic"]
            row[name] = _cell(cell)
        rows.append(row)
    return plain_markdown(pd.DataFrame(rows).fillna(""))


def _cell(cell: dict) -> str:
    if cell["reason"] and not cell["n_seeds"]:
        return wording("failed", cell["reason"])
    mean, ends = interval(cell["mean"], cell["low"], cell["high"])
    note = f" ({partial(cell)})" if partial(cell) else ""
    return f"{mean} {ends if cell['n_seeds'] > 1 else '[one seed]'}{note}"


def _page(asked: Grid, said: Sequence[str], table: str, n_seeds: int) -> str:
    """Return the sentences as a page."""
    how = (
        f"Means over {n_seeds} training seeds. Settings are compared seed by seed at the 5 % level (all together by "
        "Friedman's test; choices with the first by paired t tests with Holm's correction); intervals are at "
        f"95 %, not corrected. With {n_seeds} seeds a single difference counts when its mean is more than "
        f"{needed(n_seeds):.1f} times the standard deviation of the seeds' differences, and more after correction"
        f"{FEW if n_seeds <= 3 else ''}."
        if n_seeds > 1
        else "One training seed: there is no spread to compare a difference with."
    )
    return (
        "\n\n".join(
            [f"**{asked.question}**", *said, table, f"{how} Written from table.csv by rule."]
        )
        + "\n"
    )

"""Agreement of a grid of settings → the study's table, figure and page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.stages.aggregate import stack
from gpex_bench.statistics.seeds import needed
from gpex_bench.studies.answer import Answer, page
from gpex_bench.studies.grid import comparisons, measure
from gpex_bench.studies.grid.expansion import Setting, is_number
from gpex_bench.studies.grid.figure import Scale, panels
from gpex_bench.studies.grid.plan import Grid
from gpex_bench.tables import columns
from gpex_bench.tables.order import records
from gpex_bench.tables.words import interval, partial, wording


def answer(  # noqa: PLR0913 - keyword-only
    plan: Grid,
    grid: Sequence[Setting],
    *,
    agreement: Iterable[pd.DataFrame],
    costs: pd.DataFrame,
    reasons: Mapping[str, str],
    n_seeds: int,
) -> Answer:
    """Answer a study's question.

    Args:
        plan: the question, what to show, and how.
        grid: every surrogate on every network.
        agreement: tables of single cells.
        costs: wall_seconds of every fit that succeeded.
        reasons: why a fit failed, by the `id` of its setting.
        n_seeds: training seeds of the run.
    """
    found = measure.values(stack(agreement, columns.AGREEMENT), costs)
    table = measure.summarise(
        found, grid, statistics=plan.statistics, splits=plan.splits, n_seeds=n_seeds
    )
    table["reason"] = [reasons.get(place, "") for place in table["id"]]

    on_x = [setting.labels[plan.x] for setting in grid if plan.x in setting.labels]
    is_ordered = all(is_number(label) for label in on_x)
    scale = Scale(plan.question, plan.x, plan.hue, is_ordered, plan.log)

    text = _page(plan, table, found, is_ordered=is_ordered, n_seeds=n_seeds)
    return Answer(table=table, drawings={"figure": panels(table, scale)}, sentences=text)


def _page(
    plan: Grid, table: pd.DataFrame, found: pd.DataFrame, *, is_ordered: bool, n_seeds: int
) -> str:
    """Return the page: the comparisons of the first statistic, and all settings."""
    rows = comparisons.first_statistic(table, found)
    trends = choices = pd.DataFrame()
    if is_ordered:
        trends = comparisons.trends(rows, plan.x, plan.hue, plan.margin)
    else:
        choices = comparisons.choices(rows, plan.x, plan.hue, plan.better, plan.margin)

    return page(
        "grid",
        plan=plan,
        what=_heading(records(table.head(1))[0]),
        verdicts=comparisons,
        extremes=comparisons.extremes(rows, plan.better, plan.margin),
        trends=trends,
        choices=choices,
        settings=settings_table(table),
        n_seeds=n_seeds,
        needed=needed(n_seeds) if n_seeds > 1 else None,
    )


def settings_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row of text per setting: its labels, and each statistic or why there is none."""
    labels = list(table.columns[: list(table.columns).index("id")])
    rows = []
    for _, block in table.groupby("id", sort=False):
        place = block.iloc[0][labels].dropna()
        row = {str(name): str(label) for name, label in place.items()}
        for cell in records(block):
            row[_heading(cell)] = _cell(cell)
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def _heading(cell: Mapping[str, Any]) -> str:
    """Return what a statistic is called."""
    return f"{cell['statistic']} ({cell['split']})" if cell["split"] else str(cell["statistic"])


def _cell(cell: Mapping[str, Any]) -> str:
    """Return a mean with its interval, or why there is none."""
    if cell["reason"] and not cell["n_seeds"]:
        return wording("failed", cell["reason"])

    mean, ends = interval(cell["mean"], cell["low"], cell["high"])
    if cell["n_seeds"] < 2:
        ends = "[one seed]"
    note = partial(cell)
    return f"{mean} {ends} ({note})" if note else f"{mean} {ends}"

"""Agreement with planted truth: a row for each score, a panel for images and one for tables."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpex_bench.plots.style import COLOURS, GREY, INK, MARKERS, Drawing, styled
from gpex_bench.tables.order import groups
from gpex_bench.tables.words import number

INCHES_A_ROW = 0.19
TITLE = "Agreement with planted truth"


@styled
def agreement_dots(table: pd.DataFrame, by_dataset: pd.DataFrame) -> Drawing:
    """Draw the tau of every score with its interval, and that on each dataset.

    Args:
        table: the frame of `agreement.compare` of every scope.
        by_dataset: scope, dataset, score, tau: what the means are made of.
    """
    if table.empty:
        figure = Figure(figsize=(4, 1))
        nothing = "No network uses its planted evidence."
        figure.text(0.5, 0.5, nothing, ha="center")
        return Drawing(figure, TITLE, nothing, table)

    scopes = list(dict.fromkeys(table["scope"]))
    scores = list(dict.fromkeys(table["score"]))
    row = {score: at for at, score in enumerate(scores)}
    datasets = sorted(set(by_dataset["dataset"]))
    looks = dict(zip(datasets, zip(COLOURS, MARKERS, strict=True), strict=False))

    size = (2.9 + 3.0 * len(scopes), 1.5 + INCHES_A_ROW * len(scores))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(scopes), squeeze=False, sharey=True)[0]
    for axes, scope in zip(panels, scopes, strict=True):
        own = table[table["scope"] == scope]
        _dots(axes, own, by_dataset[by_dataset["scope"] == scope], row, looks)
        axes.set_title(scope, loc="left")

    panels[0].set_yticks(range(len(scores)), scores)
    panels[0].set_ylim(len(scores) - 0.5, -0.5)
    found = [axes.get_legend_handles_labels() for axes in panels]
    legend = dict(pair for handles, labels in found for pair in zip(labels, handles, strict=True))
    figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=3)
    return Drawing(figure, TITLE, _alternative_text(table), table)


def _dots(
    axes: Axes,
    table: pd.DataFrame,
    by_dataset: pd.DataFrame,
    row: dict[str, int],
    looks: dict[str, tuple[str, str]],
) -> None:
    """Draw the scores of one scope."""
    look: dict[str, Any]
    for (dataset,), part in groups(by_dataset, ["dataset"]):
        colour, marker = looks[dataset]
        there = part["score"].map(row)
        look = {"color": colour, "marker": marker, "ms": 3.5, "alpha": 0.55, "ls": "none"}
        axes.plot(part["tau"], there, label=dataset, zorder=1, **look)

    for may_be_best, part in table.groupby("may_be_best"):
        colour = INK if may_be_best else GREY
        label = "may be the best" if may_be_best else "another one agrees better"
        there = part["score"].map(row)
        axes.hlines(there, part["tau_low"], part["tau_high"], color=colour, lw=1.4, zorder=2)
        look = {"mfc": colour if may_be_best else "white", "mec": colour, "ls": "none"}
        axes.plot(part["tau"], there, "o", ms=6, label=label, zorder=3, **look)

    axes.axvline(0, color=GREY, lw=0.8)
    axes.set_xlim(-1.02, 1.02)
    axes.set_xlabel("Kendall's tau, with 95 % interval")


def _alternative_text(table: pd.DataFrame) -> str:
    """Return the top and the last score of every scope."""
    parts = []
    for scope, part in table.groupby("scope", sort=False):
        first, last = part.iloc[0], part.iloc[-1]
        parts.append(
            f"{scope}: from {first['score']} ({number(first['tau'])}) down to {last['score']} "
            f"({number(last['tau'])})"
        )
    return f"Dots with intervals, a row for each score. {'; '.join(parts)}."

"""The headline score of each method on each network, as dots with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gpex_bench.plots.style import BLUE, GREY, INK, Drawing, shorten, styled
from gpex_bench.tables.columns import NETWORK, require
from gpex_bench.tables.order import Record, groups, records

HEADLINE = (*NETWORK, "method", "score", "low", "high", "is_control", "answer")

# Panels side by side; more networks come below.
N_BESIDE = 6
# Of the page: inches for the names, and for a row.
NAMES = 1.9
ROW = 0.165

KNOWN: dict[str, dict[str, Any]] = {
    "beaten by none": {"marker": "o", "color": BLUE, "mfc": BLUE},
    "beaten by another method": {"marker": "o", "color": BLUE, "mfc": "white"},
    "control": {"marker": "X", "color": GREY, "mfc": GREY},
}


@styled
def headline_dots(headline: pd.DataFrame, order: Sequence[str], metric: str) -> Drawing:
    """Draw score and 95 % interval of each method, one panel a network.

    Args:
        headline: the table `headline`, of one metric.
        order: the methods that are shown, from top to bottom.
        metric: what is drawn, as shown.
    """
    require(headline, HEADLINE, "headline")
    data = headline[headline["method"].isin(list(order))].sort_values([*NETWORK, "method"])
    networks = list(groups(data, NETWORK))
    names = list(order)

    n_columns = min(len(networks), N_BESIDE)
    n_rows = -(-len(networks) // N_BESIDE)
    panel = min(3.2, (10.2 - NAMES) / n_columns)
    height = n_rows * (0.75 + ROW * len(names)) + 0.45
    figure = Figure(figsize=(NAMES + panel * n_columns, height), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
    for axes, ((dataset, model), part) in zip(grid, networks, strict=False):
        _panel(axes, part, names)
        axes.set_title(f"{dataset}\n({model})", size=8.5, loc="left")
    for axes in grid[len(networks) :]:
        axes.set_visible(False)

    handles = [
        Line2D([], [], ls="", ms=6, marker=look["marker"], color=look["color"], mfc=look["mfc"])
        for look in KNOWN.values()
    ]
    figure.legend(handles, list(KNOWN), loc="outside upper center", ncols=len(KNOWN))
    title = f"{metric} of each method with its 95 % interval"
    return Drawing(figure, title, _alt(data, metric), data)


def _panel(axes: Axes, part: pd.DataFrame, names: Sequence[str]) -> None:
    """Draw the methods of one network."""
    place = {name: at for at, name in enumerate(names)}
    for row in records(part):
        look = KNOWN[_kind(row)]
        error = [[row["score"] - row["low"]], [row["high"] - row["score"]]]
        axes.errorbar(
            row["score"],
            place[row["method"]],
            xerr=error,
            fmt=look["marker"],
            color=look["color"],
            mfc=look["mfc"],
            ms=5,
            elinewidth=1.1,
        )
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), [shorten(name) for name in names], size=8)
    axes.tick_params(axis="y", length=0)

    has_zero = axes.get_xlim()[0] < 0 < axes.get_xlim()[1]
    if has_zero:
        axes.axvline(0, color=INK, lw=0.7, zorder=0)


def _kind(row: Record) -> str:
    """Return how a method is marked."""
    if row["is_control"]:
        return "control"
    is_beaten = row["answer"] == "beaten"
    return "beaten by another method" if is_beaten else "beaten by none"


def _alt(data: pd.DataFrame, metric: str) -> str:
    """Name the best mean on each network, and the best control."""
    texts = []
    for (dataset, model), part in groups(data, NETWORK):
        words = [f"{dataset} ({model})"]
        for is_control, name in ((False, "best"), (True, "best control")):
            own = part[part["is_control"].astype(bool) == is_control].sort_values("place")
            if len(own):
                first: Mapping[str, Any] = records(own)[0]
                words.append(f"{name} {first['method']} {first['score']:.3f}")
        texts.append(", ".join(words))
    return f"Dots with intervals of {metric}. {'; '.join(texts)}."

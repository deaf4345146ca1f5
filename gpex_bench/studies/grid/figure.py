"""A grid's figure: each statistic along x, one line a hue, mean and interval over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpex_bench.plots.style import COLOURS, MARKERS, Drawing, shorten, styled
from gpex_bench.tables.columns import require
from gpex_bench.tables.words import number

N_COLOURS = 8  # those that are strong enough for lines
N_MARKERS = 8
NEEDED = ("dataset", "model", "split", "statistic", "mean", "low", "high")
SPREAD = 0.5  # height of a choice's row that its hues share


@dataclass(frozen=True)
class Scale:
    """How a grid is laid out."""

    question: str
    x: str
    hue: str | None
    is_ordered: bool  # x holds numbers
    is_log: bool


@styled
def panels(table: pd.DataFrame, scale: Scale) -> Drawing:
    """Draw one panel for each network and statistic.

    Args:
        table: the frame of `measure.summarise`; settings without a number leave a gap.
        scale: what lies along x, and what the colours show.
    """
    require(table, [*NEEDED, scale.x], "table")
    networks = list(dict.fromkeys(zip(table["dataset"], table["model"], strict=True)))
    statistics = list(dict.fromkeys(zip(table["statistic"], table["split"], strict=True)))
    hues = [None] if scale.hue is None else list(dict.fromkeys(table[scale.hue]))

    figure, grid = _empty(table, scale, (len(networks), len(statistics)), len(hues))
    draw = _lines if scale.is_ordered else _rows
    for row, (dataset, model) in zip(grid, networks, strict=True):
        is_network = (table["dataset"] == dataset) & (table["model"] == model)
        for axes, (statistic, split) in zip(row, statistics, strict=True):
            is_shown = (table["statistic"] == statistic) & (table["split"] == split)
            draw(axes, table[is_network & is_shown], scale, hues)
            name = f"{statistic}, {split} items" if split else statistic
            axes.set_title(f"{dataset} ({model})\n{name}", loc="left", size=8.5)

    if scale.hue is not None:
        _legend(figure, grid[0][0], scale.hue)
    if not scale.is_ordered:
        for axes in grid[:, 0]:
            axes.set_ylabel(scale.x)
    return Drawing(figure, scale.question, _alternative_text(table, scale), table)


def _empty(
    table: pd.DataFrame, scale: Scale, shape: tuple[int, int], n_hues: int
) -> tuple[Figure, np.ndarray]:
    """Return a figure with a grid of empty axes [network, statistic]."""
    n_networks, n_statistics = shape
    height = 2.5
    if not scale.is_ordered:
        # a line for each choice and colour, room for two colours at least
        choices_height = 0.19 * table[scale.x].nunique()
        height = 0.9 + choices_height * max(n_hues, 2)

    size = (1.0 + 3.1 * n_statistics, 0.7 + height * n_networks)
    figure = Figure(figsize=size, layout="constrained")

    # choices are named once, at the left
    sharing: Literal["none", "row"] = "none" if scale.is_ordered else "row"
    grid = figure.subplots(*shape, squeeze=False, sharey=sharing)
    return figure, grid


def _legend(figure: Figure, axes: Axes, title: str) -> None:
    """Add a legend with each label once."""
    handles, labels = axes.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    figure.legend(
        list(known.values()),
        list(known),
        title=title,
        loc="outside lower center",
        ncols=len(known),
    )


def _lines(axes: Axes, part: pd.DataFrame, scale: Scale, hues: Sequence[Any]) -> None:
    """Draw numbers against numbers, joined by a line."""
    for place, hue in enumerate(hues):
        line = _of_hue(part, scale, hue).dropna(subset=[scale.x, "mean"]).sort_values(scale.x)
        x = line[scale.x].astype(float)
        axes.errorbar(x, line["mean"], yerr=_reach(line), **_style(place, hue), lw=1.4)

    axes.set_xlabel(scale.x)
    if scale.is_log:
        axes.set_xscale("log")
        ticks = sorted(set(part[scale.x].dropna().astype(float)))
        rotation = 45 if len(ticks) > 4 else 0
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], rotation=rotation)
        axes.set_xticks([], minor=True)


def _rows(axes: Axes, part: pd.DataFrame, scale: Scale, hues: Sequence[Any]) -> None:
    """Draw one row for each choice, the first on top; hues share a row."""
    choices = list(dict.fromkeys(part[scale.x].dropna()))
    n_hues = max(len(hues), 1)
    middle = (len(hues) - 1) / 2
    for place, hue in enumerate(hues):
        line = _of_hue(part, scale, hue).dropna(subset=[scale.x, "mean"])
        shift = (place - middle) * SPREAD / n_hues
        y = [choices.index(choice) + shift for choice in line[scale.x]]
        look = _style(place, hue)
        axes.errorbar(line["mean"], y, xerr=_reach(line), **look, ls="none")

    labels = [shorten(str(choice), 22) for choice in choices]
    axes.set_yticks(range(len(choices)), labels)
    axes.set_ylim(len(choices) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def _of_hue(part: pd.DataFrame, scale: Scale, hue: Any) -> pd.DataFrame:
    """Return the rows of one hue."""
    return part if scale.hue is None else part[part[scale.hue] == hue]


def _reach(line: pd.DataFrame) -> np.ndarray:
    """Return how far the interval reaches below and above the mean; 0 with one seed."""
    below = line["mean"] - line["low"]
    above = line["high"] - line["mean"]
    return np.nan_to_num(np.stack([below, above]).astype(float))


def _style(place: int, hue: Any) -> Mapping[str, Any]:
    """Return colour and marker of a hue; two hues never share both."""
    return {
        "color": COLOURS[place % N_COLOURS],
        "marker": MARKERS[(place + place // N_COLOURS) % N_MARKERS],
        "label": "" if hue is None else str(hue),
        "ms": 4.5,
        "elinewidth": 1.1,
        "capsize": 2,
    }


def _alternative_text(table: pd.DataFrame, scale: Scale) -> str:
    """Return what the figure shows: how far the first statistic reaches."""
    first = table.iloc[0]
    is_first = (table["statistic"] == first["statistic"]) & (table["split"] == first["split"])
    means = table.loc[is_first, "mean"].dropna()

    reach = "not known"
    if len(means):
        reach = f"{number(means.min())} to {number(means.max())}"
    lines = f", one line for each {scale.hue}" if scale.hue else ""
    return (
        f"{first['statistic']} and the other statistics along {scale.x}{lines}. "
        f"{first['statistic']} reaches from {reach}."
    )

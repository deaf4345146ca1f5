"""A study's figure: each statistic along x, one line a hue, mean and interval over the training seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpex_bench.plots.style import Drawing, shorten, styled
from gpex_bench.tables.columns import require
from gpex_bench.tables.words import number

COLOURS = (
    "#0173b2",
    "#de8f05",
    "#029e73",
    "#cc78bc",
    "#ca9161",
    "#949494",
    "#fbafe4",
    "#56b4e9",
)  # "colorblind"
MARKERS = "osD^vP*X"
NEEDED = ("dataset", "model", "split", "statistic", "mean", "low", "high")
SPREAD = 0.5  # height of a choice's row that its hues share


@dataclass(frozen=True)
class Scale:
    """How a study is laid out."""

    question: str
    x: str
    hue: str | None
    is_ordered: bool  # x holds numbers
    is_log: bool


@styled
def study(table: pd.DataFrame, scale: Scale) -> Drawing:
    """Draw one panel for each network and statistic.

    Args:
        table: the frame of `studies.summarise`; grid points without a number leave a gap.
        scale: what lies along x, and what the colours say.
    """
    require(table, [*NEEDED, scale.x], "table")
    networks = list(dict.fromkeys(zip(table["dataset"], table["model"], strict=True)))
    shown = list(dict.fromkeys(zip(table["statistic"], table["split"], strict=True)))
    hues = [None] if scale.hue is None else list(dict.fromkeys(table[scale.hue]))
    n_choices = table[scale.x].nunique()
    height = 2.5 if scale.is_ordered else 0.9 + 0.19 * n_choices * max(len(hues), 2)
    figure = Figure(
        figsize=(1.0 + 3.1 * len(shown), 0.7 + height * len(networks)), layout="constrained"
    )
    sharing: Literal["none", "row"] = (
        "none" if scale.is_ordered else "row"
    )  # choices are named once, at the left
    panels = figure.subplots(len(networks), len(shown), squeeze=False, sharey=sharing)
    for row, (dataset, model) in zip(panels, networks, strict=True):
        for axes, (statistic, split) in zip(row, shown, strict=True):
            here = table[(table["dataset"] == dataset) & (table["model"] == model)]
            part = here[(here["statistic"] == statistic) & (here["split"] == split)]
            (_lines if scale.is_ordered else _rows)(axes, part, scale, hues)
            named = f"{statistic}, {split} items" if split else statistic
            axes.set_title(f"{dataset} ({model})\n{named}", loc="left", size=8.5)
    handles, labels = panels[0][0].get_legend_handles_labels()
    if scale.hue is not None:
        known = dict(zip(labels, handles, strict=True))
        figure.legend(
            list(known.values()),
            list(known),
            title=scale.hue,
            loc="outside lower center",
            ncols=len(known),
        )
    if not scale.is_ordered:
        for axes in panels[:, 0]:
            axes.set_ylabel(scale.x)
    return Drawing(figure, scale.question, _said(table, scale), table)


def _lines(axes: Axes, part: pd.DataFrame, scale: Scale, hues: Sequence[Any]) -> None:
    """Draw numbers against numbers, joined by a line."""
    for place, hue in enumerate(hues):
        line = _of(part, scale, hue).dropna(subset=[scale.x, "mean"]).sort_values(scale.x)
        axes.errorbar(
            line[scale.x].astype(float),
            line["mean"],
            yerr=_bars(line),
            **_style(place, hue),
            lw=1.4,
        )
    axes.set_xlabel(scale.x)
    if scale.is_log:
        axes.set_xscale("log")
        ticks = sorted(set(part[scale.x].dropna().astype(float)))
        axes.set_xticks(
            ticks, [f"{tick:g}" for tick in ticks], rotation=45 if len(ticks) > 4 else 0
        )
        axes.set_xticks([], minor=True)


def _rows(axes: Axes, part: pd.DataFrame, scale: Scale, hues: Sequence[Any]) -> None:
    """Draw one row for each choice, the first on top."""
    choices = list(dict.fromkeys(part[scale.x].dropna()))
    for place, hue in enumerate(hues):
        line = _of(part, scale, hue).dropna(subset=[scale.x, "mean"])
        shift = (place - (len(hues) - 1) / 2) * SPREAD / max(len(hues), 1)
        y = [choices.index(choice) + shift for choice in line[scale.x]]
        axes.errorbar(line["mean"], y, xerr=_bars(line), **_style(place, hue), ls="none")
    axes.set_yticks(range(len(choices)), [shorten(str(choice), 22) for choice in choices])
    axes.set_ylim(len(choices) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def _of(part: pd.DataFrame, scale: Scale, hue: Any) -> pd.DataFrame:
    """Return the rows of one hue."""
    return part if scale.hue is None else part[part[scale.hue] == hue]


def _bars(line: pd.DataFrame) -> np.ndarray:
    """Return how far the interval reaches below and above the mean; 0 with one seed."""
    reach = np.stack([line["mean"] - line["low"], line["high"] - line["mean"]])
    return np.nan_to_num(reach.astype(float))


def _style(place: int, hue: Any) -> Mapping[str, Any]:
    """Return colour and marker of a hue; two hues never share both."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[(place + place // len(COLOURS)) % len(MARKERS)],
        "label": "" if hue is None else str(hue),
        "ms": 4.5,
        "elinewidth": 1.1,
        "capsize": 2,
    }


def _said(table: pd.DataFrame, scale: Scale) -> str:
    """Return the alternative text."""
    first = table.iloc[0]
    good = table[
        (table["statistic"] == first["statistic"]) & (table["split"] == first["split"])
    ].dropna(subset=["mean"])
    reach = (
        f"{number(good['mean'].min())} to {number(good['mean'].max())}"
        if len(good)
        else "not known"
    )
    by = f", one line for each {scale.hue}" if scale.hue else ""
    return f"{first['statistic']} and the other statistics along {scale.x}{by}. {first['statistic']} reaches from {reach}."

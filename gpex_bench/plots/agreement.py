"""How well surrogates agree with a network: every head of every surrogate, a scatter per head."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from gpex_bench.plots.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    Drawing,
    network_name,
    plain_numbers,
    shorten,
    styled,
)
from gpex_bench.tables.columns import NETWORK, PREDICTIONS, require
from gpex_bench.tables.order import natural, ordered, surrogate_order
from gpex_bench.tables.words import SPLITS, below_one

SUMMARY = (
    *NETWORK,
    "surrogate",
    "split",
    "head",
    "statistic",
    "mean",
    "low",
    "high",
    "is_weakest",
)

# Points drawn of each head; the statistics are of all.
N_POINTS = 120
N_COLUMNS = 5

# With more heads than this, their panels are small and hold half the points.
MANY = 20

# 1 - R² below this is drawn as this: outputs are calculated in float32.
LEAST = 1e-8


@styled
def agreement_scatter(predictions: pd.DataFrame, agreement: pd.DataFrame) -> Drawing:
    """Draw the surrogate's mean against the network's output, one panel a head.

    Args:
        predictions: of one dataset, model, surrogate and split; seeds together.
        agreement: the frame of `statistics.outcomes.agreement_summary` for the same.
    """
    require(predictions, PREDICTIONS, "predictions")
    require(agreement, SUMMARY, "agreement")
    values = agreement.pivot(index="head", columns="statistic", values="mean")

    # No head is the weakest where all are constant.
    weakest = str(next(iter(agreement.loc[agreement["is_weakest"], "head"]), ""))

    heads = sorted(set(predictions["head"]), key=natural)
    if len(heads) == 1:
        weakest = ""  # nor where there is one only
    is_many = len(heads) > MANY
    figure, panels = _panels(len(heads), _grid(predictions, len(heads)))

    shown = []
    for axes, head in zip(panels, heads, strict=False):
        own = predictions[predictions["head"] == head]
        points = thin(own, N_POINTS // 2 if is_many else N_POINTS)
        shown.append(points)

        _scatter(axes, points, is_weakest=head == weakest, size=3.0 if is_many else 7.0)
        lead = "weakest head\n" if head == weakest else "\n"
        text = f"{lead}{shorten(head, 22)}\n{_fit(values.loc[[head]])}"
        axes.set_title(text, size=7 if is_many else 8.5)
        axes.title.set_fontweight("bold" if head == weakest else "normal")
    for axes in panels[len(heads) :]:
        axes.set_visible(False)
    figure.supxlabel("output of the network", size=9)
    figure.supylabel("mean of the surrogate", size=9)

    low = "No head varies."
    if len(heads) == 1:
        low = f"{heads[0]}: {_fit(values.loc[heads])}."
    if weakest:
        low = f"The weakest head is {weakest}: {_fit(values.loc[[weakest]])}."
    alt = (
        f"{len(heads)} scatter plots, one per head, of the surrogate's mean against the network's "
        f"output. {low}"
    )
    place = predictions.iloc[0]
    title = (
        f"Outputs of {place['surrogate']} and network on {network_name(predictions)}, "
        f"{SPLITS[place['split']]} items"
    )
    return Drawing(figure, title, alt, pd.concat(shown, ignore_index=True))


def _scatter(axes: Axes, points: pd.DataFrame, *, is_weakest: bool, size: float) -> None:
    """Draw the points of one head, and the line on which the two agree."""
    both = points[["network", "mean"]].to_numpy()
    ends = [both.min(), both.max()]
    axes.plot(ends, ends, color=GREY, lw=0.9, zorder=1)

    colour = ORANGE if is_weakest else BLUE
    look: dict[str, Any] = {
        "s": size,
        "color": colour,
        "alpha": 0.55,
        "lw": 0,
        "zorder": 2,
        "rasterized": True,
    }
    axes.scatter(points["network"], points["mean"], **look)
    axes.set_aspect("equal", adjustable="datalim")


def _grid(predictions: pd.DataFrame, n_heads: int) -> tuple[int, int] | None:
    """Return rows and columns of the map whose places are the heads, or None if they are none."""
    if predictions["row"].isna().any():
        return None

    grid = (int(predictions["row"].max()), int(predictions["column"].max()))
    return grid if grid[0] * grid[1] == n_heads else None


def _panels(n_heads: int, grid: tuple[int, int] | None) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each head; heads of a map keep their places."""
    if grid is None:
        n_rows = math.ceil(n_heads / N_COLUMNS)
        grid = (n_rows, math.ceil(n_heads / n_rows))
    n_rows, n_columns = grid

    is_many = n_heads > MANY
    width, height = (1.5, 1.75) if is_many else (2.15, 2.55)
    size = (width * n_columns + 0.4, height * n_rows + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    panels = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)

    if is_many:
        for axes in panels:
            axes.tick_params(labelsize=6, length=0)
            axes.locator_params(nbins=2)
            axes.grid(False)
    return figure, panels


def _fit(values: pd.DataFrame) -> str:
    """Write r and R² of a head; they are undefined where the network's output is constant."""
    r, r2 = values["pearson"].item(), values["r2"].item()
    if math.isnan(r):
        return "network constant: r undefined"
    return f"r = {below_one(r)}, R² = {below_one(r2)}"


def thin(points: pd.DataFrame, n: int = N_POINTS) -> pd.DataFrame:
    """Return at most n rows, evenly spaced over the sorted outputs, so that the range is kept."""
    points = points.sort_values(["network", "seed", "sample"])
    places = np.linspace(0, len(points) - 1, min(n, len(points)))
    return points.iloc[np.unique(places.round().astype(int))]


@styled
def agreement_heads(agreement: pd.DataFrame) -> Drawing:
    """Draw 1 - R² of every head of every surrogate of one network, one panel a split.

    Args:
        agreement: the frame of `statistics.outcomes.agreement_summary`, of one dataset and model.
    """
    require(agreement, SUMMARY, "agreement")
    names = surrogate_order(agreement)
    chosen = ordered(agreement[(agreement["statistic"] == "r2") & (agreement["head"] != "all")])
    splits = [split for split in SPLITS if split in set(chosen["split"])]

    size = (0.9 + 3.4 * len(splits), 1.1 + 0.42 * max(len(names), 2))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]

    weakest = []
    for axes, split in zip(panels, splits, strict=True):
        for y, name in enumerate(names):
            part = chosen[(chosen["split"] == split) & (chosen["surrogate"] == name)]
            text = _row(axes, y, part.dropna(subset="mean"))
            weakest.append(f"{name}, {SPLITS[split]}: {text}")

        axes.set(xscale="log", xlabel="1 − R² (left is better)", ylim=(len(names) - 0.4, -0.8))
        plain_numbers(axes.xaxis)
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.set_title(f"{SPLITS[split]} items", loc="left")
        axes.grid(axis="y", visible=False)
    panels[0].set_yticks(range(len(names)), [shorten(name, 18) for name in names])

    title = f"What each surrogate misses of every head on {network_name(agreement)}"
    alt = (
        f"{title}: 1 - R² of every head; dots are heads, bars means over heads. "
        f"Weakest heads: {'; '.join(weakest)}."
    )
    return Drawing(figure, title, alt, chosen)


def _row(axes: Axes, y: int, part: pd.DataFrame) -> str:
    """Draw the heads of one surrogate on one split; return the weakest in words."""
    edge = axes.get_yaxis_transform()
    if part.empty:
        look: dict[str, Any] = {"xycoords": edge, "va": "center", "size": 7.5, "color": GREY}
        axes.annotate("undefined", (0.02, y), **look)
        return "undefined"

    missed = (1 - part["mean"]).clip(lower=LEAST).to_numpy()
    worst = int(np.argmax(missed))
    axes.scatter(missed, np.full(len(missed), y), s=16, color=BLUE, alpha=0.6, lw=0, zorder=2)
    axes.scatter(missed[worst], y, s=22, color=ORANGE, lw=0, zorder=3)

    middle = max(1 - part["mean"].mean(), LEAST)
    axes.plot([middle, middle], [y - 0.22, y + 0.22], color=INK, lw=1.6, zorder=4)

    weakest = part.iloc[worst]
    text = f"{shorten(str(weakest['head']), 22)}: {below_one(weakest['mean'])}"
    look = {"xycoords": edge, "ha": "right", "va": "bottom", "size": 7, "color": INK}
    axes.annotate(text, (1.0, y - 0.2), **look)
    return text

"""How well surrogates stand in for a network: every head of every surrogate, and a scatter per head."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from gpex_bench.plots.style import BLUE, GREY, INK, ORANGE, Drawing, plain_numbers, shorten, styled
from gpex_bench.tables.columns import PREDICTIONS, require
from gpex_bench.tables.order import natural, ordered, surrogate_order
from gpex_bench.tables.words import SPLITS, below_one

SUMMARY = (
    "dataset",
    "model",
    "surrogate",
    "split",
    "head",
    "statistic",
    "mean",
    "low",
    "high",
    "is_weakest",
)
N_POINTS = 120  # points drawn per head; the statistics are of all
N_COLUMNS = 5
MANY = 20  # heads, above which their panels are small
LEAST = 1e-8  # 1 - R² below this is drawn as this: outputs are calculated in float32


def where(frame: pd.DataFrame) -> str:
    """Name the network that a frame is about."""
    return f"{frame.iloc[0]['dataset']} ({frame.iloc[0]['model']})"


@styled
def agreement_scatter(predictions: pd.DataFrame, agreement: pd.DataFrame) -> Drawing:
    """Draw the surrogate's mean against the network's output, one panel per head, the weakest head marked.

    Args:
        predictions: of one dataset, model, surrogate and split; seeds together.
        agreement: the frame of `statistics.agreement_summary` for the same.
    """
    require(predictions, PREDICTIONS, "predictions")
    require(agreement, SUMMARY, "agreement")
    values = agreement.pivot(index="head", columns="statistic", values="mean")
    weakest = str(
        next(iter(agreement.loc[agreement["is_weakest"], "head"]), "")
    )  # none where all heads are constant
    heads = sorted(set(predictions["head"]), key=natural)
    figure, panels, size = _panels(heads)
    shown = []
    for axes, head in zip(panels, heads, strict=False):
        points = thin(
            predictions[predictions["head"] == head],
            N_POINTS if len(heads) <= MANY else N_POINTS // 2,
        )
        shown.append(points)
        ends = [
            points[["network", "mean"]].to_numpy().min(),
            points[["network", "mean"]].to_numpy().max(),
        ]
        axes.plot(ends, ends, color=GREY, lw=0.9, zorder=1)
        colour = ORANGE if head == weakest else BLUE
        axes.scatter(
            points["network"],
            points["mean"],
            s=size,
            color=colour,
            alpha=0.55,
            lw=0,
            zorder=2,
            rasterized=True,
        )
        axes.set_aspect("equal", adjustable="datalim")
        mark, style = ("weakest head\n", "bold") if head == weakest else ("\n", "normal")
        axes.set_title(
            f"{mark}{shorten(head, 22)}\n{_said(values.loc[[head]])}", size=8.5 if size > 4 else 7
        )
        axes.title.set_fontweight(style)
    for axes in panels[len(heads) :]:
        axes.set_visible(False)
    figure.supxlabel("output of the network (before softmax or sigmoid)", size=9)
    figure.supylabel("mean of the surrogate (same units)", size=9)
    low = (
        f"The weakest head is {weakest}: {_said(values.loc[[weakest]])}."
        if weakest
        else "No head varies."
    )
    alt = f"{len(heads)} scatter plots, one per head, of the surrogate's mean against the network's output. {low}"
    place = predictions.iloc[0]
    title = f"Outputs of {place['surrogate']} and network on {where(predictions)}, {SPLITS[place['split']]} items"
    return Drawing(figure, title, alt, pd.concat(shown, ignore_index=True))


def _panels(heads: list[str]) -> tuple[Figure, list[Axes], float]:
    """Return a figure with a panel for each head, and the size of a point; heads of a map keep their places."""
    is_many = len(heads) > MANY
    last = natural(heads[-1])
    is_map = heads[-1].startswith("row ") and last[1][0] * last[3][0] == len(heads)
    n_columns = last[3][0] if is_map else N_COLUMNS
    n_rows = math.ceil(len(heads) / n_columns)
    n_columns = n_columns if is_map else math.ceil(len(heads) / n_rows)
    width, height = (1.5, 1.75) if is_many else (2.15, 2.55)
    figure = Figure(figsize=(width * n_columns + 0.4, height * n_rows + 0.3), layout="constrained")
    panels = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    if is_many:
        for axes in panels:
            axes.tick_params(labelsize=6, length=0)
            axes.locator_params(nbins=2)
            axes.grid(False)
    return figure, panels, 3.0 if is_many else 7.0


def _said(values: pd.DataFrame) -> str:
    """Write r and R² of a head; they are undefined where the network's output is constant."""
    r, r2 = values["pearson"].item(), values["r2"].item()
    return (
        "network constant: r undefined"
        if math.isnan(r)
        else f"r = {below_one(r)}, R² = {below_one(r2)}"
    )


def thin(points: pd.DataFrame, n: int = N_POINTS) -> pd.DataFrame:
    """Return at most n rows, evenly spaced over the sorted outputs, so that the range is kept."""
    points = points.sort_values(["network", "seed", "sample"])
    keep = np.unique(np.linspace(0, len(points) - 1, min(n, len(points))).round().astype(int))
    return points.iloc[keep]


@styled
def agreement_heads(agreement: pd.DataFrame) -> Drawing:
    """Draw 1 - R² of every head of every surrogate of one network, one panel per split, the weakest head named.

    Args:
        agreement: the frame of `statistics.agreement_summary`, of one dataset and model.
    """
    require(agreement, SUMMARY, "agreement")
    names = surrogate_order(agreement)
    chosen = ordered(agreement[(agreement["statistic"] == "r2") & (agreement["head"] != "all")])
    splits = [split for split in SPLITS if split in set(chosen["split"])]
    figure = Figure(
        figsize=(0.9 + 3.4 * len(splits), 1.1 + 0.42 * max(len(names), 2)), layout="constrained"
    )
    panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    said = []
    for axes, split in zip(panels, splits, strict=True):
        for y, name in enumerate(names):
            part = chosen[(chosen["split"] == split) & (chosen["surrogate"] == name)]
            said.append(f"{name}, {SPLITS[split]}: {_row(axes, y, part.dropna(subset='mean'))}")
        axes.set(xscale="log", xlabel="1 − R² (left is better)", ylim=(len(names) - 0.4, -0.8))
        plain_numbers(axes.xaxis)
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
        axes.set_title(f"{SPLITS[split]} items", loc="left")
        axes.grid(axis="y", visible=False)
    panels[0].set_yticks(range(len(names)), [shorten(name, 18) for name in names])
    title = f"What each surrogate misses of every head on {where(agreement)}"
    alt = f"{title}: 1 - R² of every head; dots are heads, bars means over heads. Weakest heads: {'; '.join(said)}."
    return Drawing(figure, title, alt, chosen)


def _row(axes: Axes, y: int, part: pd.DataFrame) -> str:
    """Draw the heads of one surrogate on one split; return the weakest in words."""
    if part.empty:
        axes.annotate(
            "undefined",
            (0.02, y),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            size=7.5,
            color=GREY,
        )
        return "undefined"
    missed = (1 - part["mean"]).clip(lower=LEAST).to_numpy()
    worst = int(np.argmax(missed))
    axes.scatter(missed, np.full(len(missed), y), s=16, color=BLUE, alpha=0.6, lw=0, zorder=2)
    axes.scatter(missed[worst], y, s=22, color=ORANGE, lw=0, zorder=3)
    middle = max(1 - part["mean"].mean(), LEAST)
    axes.plot([middle, middle], [y - 0.22, y + 0.22], color=INK, lw=1.6, zorder=4)
    text = f"{shorten(str(part.iloc[worst]['head']), 22)}: {below_one(part.iloc[worst]['mean'])}"
    edge = axes.get_yaxis_transform()
    axes.annotate(text, (1.0, y - 0.2), xycoords=edge, ha="right", va="bottom", size=7, color=INK)
    return text

"""Who is told from whom: critical-difference diagrams, and the rank agreement of metrics with one another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scikit_posthocs import critical_difference_diagram

from gpex_bench.plots.style import GREY, INK, Drawing, shorten, styled
from gpex_bench.tables.columns import require
from gpex_bench.tables.order import records

RANKS = ("method", "mean_rank", "rank_low", "rank_high", "critical_difference")
CORRELATIONS = ("metric", "other", "correlation", "n_networks")
N_NUMBERS = 18  # metrics, above which the heat map has colours only


@styled
def critical_difference(ranking: pd.DataFrame, controls: Collection[str], title: str) -> Drawing:
    """Draw mean ranks, with a bar over methods that differ by less than the critical difference; controls below.

    Args:
        ranking: one row a method, of one metric; lower ranks are better.
        controls: run ids that stand apart.
        title: what is ranked, as shown.
    """
    ranking = require(ranking, RANKS, "ranking").sort_values(["mean_rank", "method"])
    ours = ranking["method"].isin(list(controls))
    apart, here = ranking[ours], ranking[~ours]
    ranks = here.set_index("method")["mean_rank"]
    least = float(ranking["critical_difference"].iloc[0])
    gaps = np.abs(ranks.to_numpy()[:, None] - ranks.to_numpy()[None, :])
    chances = pd.DataFrame(np.where(gaps > least, 0.0, 1.0), ranks.index, ranks.index)
    height = 1.3 + 0.13 * len(ranks) + 0.2 * len(apart)
    figure = Figure(figsize=(10.2, max(2.2, height)), layout="constrained")
    heights = {
        "height_ratios": [
            max(2.2, height) - 0.3 - 0.2 * len(apart),
            max(0.3 + 0.2 * len(apart), 0.01),
        ]
    }
    axes, below = figure.subplots(2, 1, gridspec_kw=heights)
    _diagram(axes, ranks, chances, least)
    _apart(below, apart, axes.get_xlim())
    lead = here.iloc[0]
    same = [name for name in ranks.index[1:] if ranks[name] - lead["mean_rank"] <= least]
    tied = f"not told from {', '.join(same)}" if same else "told from every other method"
    alt = (
        f"Critical-difference diagram of {len(ranks)} methods: {title}. Best is {lead['method']} with mean rank "
        f"{lead['mean_rank']:.2f}, {tied}; ranks must differ by {least:.2f} to be told apart."
    )
    return Drawing(figure, title, alt, ranking)


def _diagram(axes: Axes, ranks: pd.Series, chances: pd.DataFrame, least: float) -> None:
    """Draw the diagram of the methods, or their names alone where there is nothing to compare."""
    small = {"fontsize": 8 if len(ranks) < 30 else 6.8}
    look: dict[str, Any] = {
        "label_props": small,
        "marker_props": {"marker": "o", "s": 18, "color": INK},
        "elbow_props": {"color": INK, "linewidth": 0.6},
        "crossbar_props": {"color": INK, "linewidth": 2.2},
        "label_fmt_left": "{label}  {rank:.2f}",
        "label_fmt_right": "{rank:.2f}  {label}",
        "text_h_margin": 0.04,
    }
    if len(ranks) > 1:
        critical_difference_diagram(ranks, chances, ax=axes, **look)
    if np.isfinite(least):
        text = f"mean rank (1 is best); methods under one bar differ by less than the critical difference, {least:.2f}"
        axes.set_title(text, size=8.5, pad=14)
    axes.grid(False)


def _apart(axes: Axes, apart: pd.DataFrame, limits: tuple[float, float]) -> None:
    """Draw the mean ranks of the controls, with their intervals, one below another."""
    axes.set(xlim=limits, yticks=[], xticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for y, row in enumerate(records(apart)):
        text = f"control {row['method']}: {row['mean_rank']:.2f} [{row['rank_low']:.2f}, {row['rank_high']:.2f}]"
        axes.text(
            0.5,
            y,
            text,
            size=7.5,
            color=GREY,
            ha="center",
            va="center",
            transform=axes.get_yaxis_transform(),
        )
    axes.set_ylim(max(len(apart), 1) - 0.4, -0.6)


@styled
def metric_agreement(
    correlations: pd.DataFrame, measures: Mapping[str, str], order: Sequence[str], title: str
) -> Drawing:
    """Draw how alike metrics rank the methods, as a heat map of rank correlations.

    Args:
        correlations: each pair once, metric before other in `order`; the mean over networks.
        measures: what each metric measures; groups are parted by lines.
        order: of the metrics.
        title: of the figure.
    """
    require(correlations, CORRELATIONS, "correlations")
    names = [
        name for name in order if name in set(correlations["metric"]) | set(correlations["other"])
    ]
    table = pd.DataFrame(np.nan, names, names)
    for row in records(correlations):
        table.loc[row["metric"], row["other"]] = table.loc[row["other"], row["metric"]] = row[
            "correlation"
        ]
    few = len(names) <= N_NUMBERS
    side = 2.4 + (0.5 if few else 0.27) * len(names)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    text = table.map(lambda entry: f"{entry:.2f}" if np.isfinite(entry) else "") if few else False
    bar = {
        "label": "rank correlation: 1 the same order, 0 unrelated, −1 the reverse",
        "shrink": 0.8,
    }
    look: dict[str, Any] = {
        "rasterized": True,
        "cmap": "BrBG",
        "vmin": -1.6,
        "vmax": 1.6,
        "linewidths": 1,
        "linecolor": "white",
    }
    annotation = {"size": 7.5, "color": "#111111"}
    sns.heatmap(
        table, ax=axes, annot=text, fmt="", annot_kws=annotation, square=True, cbar_kws=bar, **look
    )
    figure.axes[-1].set_ylim(-1, 1)
    groups = [measures.get(name, "") for name in names]
    for place in [i for i in range(1, len(names)) if groups[i] != groups[i - 1]]:
        axes.axhline(place, color=INK, lw=0.9)
        axes.axvline(place, color=INK, lw=0.9)
    size = 8 if few else 6.5
    axes.set_xticks(
        np.arange(len(names)) + 0.5, [shorten(name) for name in names], rotation=90, size=size
    )
    axes.set_yticks(
        np.arange(len(names)) + 0.5, [shorten(name) for name in names], rotation=0, size=size
    )
    axes.tick_params(length=0)
    axes.grid(False)
    axes.set(xlabel="", ylabel="")
    known = correlations.dropna(subset="correlation").sort_values(
        ["correlation", "metric", "other"]
    )
    alt = f"Heat map of the rank correlations of {len(names)} metrics over methods. {_extremes(known)}"
    return Drawing(figure, title, alt, correlations.sort_values(["metric", "other"]))


def _extremes(known: pd.DataFrame) -> str:
    """Name the pairs that agree least and most."""
    if known.empty:
        return "No pair of metrics scores enough methods to be compared."
    least, most = records(known)[0], records(known)[-1]
    said = [
        f"{row['metric']} and {row['other']} ({row['correlation']:.2f})" for row in (most, least)
    ]
    return f"Most alike: {said[0]}; least: {said[1]}."

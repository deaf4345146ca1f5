"""Critical-difference diagrams of methods, and how alike metrics rank the methods."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scikit_posthocs import critical_difference_diagram

from gpex_bench.plots.style import GREY, INK, Drawing, blank, shorten, styled
from gpex_bench.tables.columns import require
from gpex_bench.tables.order import records

RANKS = ("method", "mean_rank", "rank_low", "rank_high", "critical_difference")
CORRELATIONS = ("metric", "other", "correlation", "n_networks")
# With more metrics than this, the heat map has colours only.
N_NUMBERS = 18


@styled
def critical_difference(ranking: pd.DataFrame, controls: Collection[str], title: str) -> Drawing:
    """Draw mean ranks, with a bar over methods that differ by less than the critical difference.

    Args:
        ranking: one row a method, of one metric; lower ranks are better.
        controls: run ids that are listed below the diagram.
        title: what is ranked, as shown.
    """
    ranking = require(ranking, RANKS, "ranking").sort_values(["mean_rank", "method"])
    is_control = ranking["method"].isin(list(controls))
    apart, ranks = ranking[is_control], ranking[~is_control].set_index("method")["mean_rank"]
    least = float(ranking["critical_difference"].iloc[0])

    below_height = 0.2 * len(apart)
    height = max(2.2, 1.3 + 0.13 * len(ranks) + below_height)
    figure = Figure(figsize=(10.2, height), layout="constrained")
    ratios = [height - 0.3 - below_height, max(0.3 + below_height, 0.01)]
    axes, below = figure.subplots(2, 1, gridspec_kw={"height_ratios": ratios})
    _diagram(axes, ranks, least)
    _controls(below, apart, axes.get_xlim())

    best, rank = ranks.index[0], ranks.iloc[0]
    same = [name for name in ranks.index[1:] if ranks[name] - rank <= least]
    tied = "significantly better than every other method"
    if same:
        tied = f"not significantly different from {', '.join(same)}"
    alt = (
        f"Critical-difference diagram of {len(ranks)} methods: {title}. Best is {best} with mean "
        f"rank {rank:.2f}, {tied}; ranks must differ by {least:.2f} to be significantly different."
    )
    return Drawing(figure, title, alt, ranking)


def _diagram(axes: Axes, ranks: pd.Series, least: float) -> None:
    """Draw the diagram of the methods; nothing where there is only one."""
    look: dict[str, Any] = {
        "label_props": {"fontsize": 8 if len(ranks) < 30 else 6.8},
        "marker_props": {"marker": "o", "s": 18, "color": INK},
        "elbow_props": {"color": INK, "linewidth": 0.6},
        "crossbar_props": {"color": INK, "linewidth": 2.2},
        "label_fmt_left": "{label}  {rank:.2f}",
        "label_fmt_right": "{rank:.2f}  {label}",
        "text_h_margin": 0.04,
    }
    if len(ranks) > 1:
        # The library asks for p values: 0 where the ranks differ by more than `least`.
        numbers = ranks.to_numpy()
        is_apart = np.abs(numbers[:, None] - numbers[None, :]) > least
        p_values = pd.DataFrame(np.where(is_apart, 0.0, 1.0), ranks.index, ranks.index)
        critical_difference_diagram(ranks, p_values, ax=axes, **look)

    if np.isfinite(least):
        text = (
            "mean rank (1 is best); methods under one bar differ by less than the critical "
            f"difference, {least:.2f}"
        )
        axes.set_title(text, size=8.5, pad=14)
    axes.grid(False)


def _controls(axes: Axes, controls: pd.DataFrame, limits: tuple[float, float]) -> None:
    """Write the mean ranks of the controls, with their intervals, one below another."""
    axes.set_xlim(limits)
    blank(axes)

    look: dict[str, Any] = {"size": 7.5, "color": GREY, "ha": "center", "va": "center"}
    for y, row in enumerate(records(controls)):
        ends = f"[{row['rank_low']:.2f}, {row['rank_high']:.2f}]"
        text = f"control {row['method']}: {row['mean_rank']:.2f} {ends}"
        axes.text(0.5, y, text, transform=axes.get_yaxis_transform(), **look)
    axes.set_ylim(max(len(controls), 1) - 0.4, -0.6)


@styled
def metric_agreement(
    correlations: pd.DataFrame, measures: Mapping[str, str], order: Sequence[str], title: str
) -> Drawing:
    """Draw how alike metrics rank the methods, as a heat map of rank correlations.

    Args:
        correlations: each pair once, metric before other in `order`; the mean over networks.
        measures: what each metric measures; lines separate the groups.
        order: of the metrics.
        title: of the figure.
    """
    require(correlations, CORRELATIONS, "correlations")
    present = set(correlations["metric"]) | set(correlations["other"])
    names = [name for name in order if name in present]
    table = _square(correlations, names)
    is_small = len(names) <= N_NUMBERS

    side = 2.4 + (0.5 if is_small else 0.27) * len(names)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    _heat_map(axes, table, has_numbers=is_small)
    # The palette goes beyond what a correlation can be, so that its ends are not too dark.
    figure.axes[-1].set_ylim(-1, 1)

    groups = [measures.get(name, "") for name in names]
    for place in range(1, len(names)):
        if groups[place] != groups[place - 1]:
            axes.axhline(place, color=INK, lw=0.9)
            axes.axvline(place, color=INK, lw=0.9)

    places, labels = np.arange(len(names)) + 0.5, [shorten(name) for name in names]
    size = 8 if is_small else 6.5
    axes.set_xticks(places, labels, rotation=90, size=size)
    axes.set_yticks(places, labels, rotation=0, size=size)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.set(xlabel="", ylabel="")

    known = correlations.dropna(subset="correlation")
    known = known.sort_values(["correlation", "metric", "other"])
    alt = (
        f"Heat map of the rank correlations of {len(names)} metrics over methods. "
        f"{_extremes(known)}"
    )
    return Drawing(figure, title, alt, correlations.sort_values(["metric", "other"]))


def _square(correlations: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the correlations as a symmetric table; NaN where there is none."""
    table = pd.DataFrame(np.nan, list(names), list(names))
    for row in records(correlations):
        table.loc[row["metric"], row["other"]] = row["correlation"]
        table.loc[row["other"], row["metric"]] = row["correlation"]
    return table


def _heat_map(axes: Axes, table: pd.DataFrame, *, has_numbers: bool) -> None:
    """Draw the table as colours, with the numbers on them where there is room."""
    text: pd.DataFrame | bool = False
    if has_numbers:
        text = table.map(lambda entry: f"{entry:.2f}" if np.isfinite(entry) else "")

    bar = {
        "label": "rank correlation: 1 the same order, 0 unrelated, −1 the reverse",
        "shrink": 0.8,
    }
    look: dict[str, Any] = {
        "annot_kws": {"size": 7.5, "color": "#111111"},
        "rasterized": True,
        "cmap": "BrBG",
        "vmin": -1.6,
        "vmax": 1.6,
        "linewidths": 1,
        "linecolor": "white",
    }
    sns.heatmap(table, ax=axes, annot=text, fmt="", square=True, cbar_kws=bar, **look)


def _extremes(known: pd.DataFrame) -> str:
    """Name the pairs that agree least and most."""
    if known.empty:
        return "No pair of metrics scores enough methods to be compared."

    rows = records(known)
    least, most = (
        f"{row['metric']} and {row['other']} ({row['correlation']:.2f})"
        for row in (rows[0], rows[-1])
    )
    return f"Most alike: {most}; least: {least}."

"""How alike the metrics rank the methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpex_bench.plots.style import INK, Drawing, shorten, styled
from gpex_bench.tables.columns import require
from gpex_bench.tables.order import records

CORRELATIONS = ("metric", "other", "correlation", "n_networks")
# With more metrics than this, the heat map has colours only.
N_NUMBERS = 18


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

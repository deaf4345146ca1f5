"""Shares of the variance of a score: a bar for each method, a panel for each metric."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpex_bench.plots.style import COLOURS, Drawing, shorten, styled
from gpex_bench.studies.variance.measure import SOURCES

# beside the colours, so that no reader depends on these
HATCHES = ("", "//", "", "..", "xx")
PANEL_INCHES = 1.55


@styled
def variance_bars(table: pd.DataFrame) -> Drawing:
    """Draw the shares of one dataset and model.

    Args:
        table: the frame of `measure.split`.
    """
    if table.empty:
        raise ValueError("table must hold at least one component, got none.")
    metrics = list(dict.fromkeys(table["metric"]))
    methods = sorted(set(table["method"]))

    size = (1.7 + PANEL_INCHES * len(metrics), 1.1 + 0.27 * len(methods))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        _stack(axes, table[table["metric"] == metric], methods)
        axes.set_title(shorten(metric), loc="left", size=8.5)

    panels[0].set_yticks(range(len(methods)), [shorten(name) for name in methods])
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))

    place = table.iloc[0]
    title = f"What a single score's variance comes from ({place['dataset']}, {place['model']})"
    return Drawing(figure, title, _alternative_text(table), table)


def _stack(axes: Axes, table: pd.DataFrame, methods: list[str]) -> None:
    """Draw the bars of one metric."""
    shares = table.pivot_table(index="method", columns="source", values="share")
    shares = shares.reindex(index=methods, columns=list(SOURCES)).fillna(0.0)

    left = pd.Series(0.0, index=methods)
    for source, colour, hatch in zip(SOURCES, COLOURS, HATCHES, strict=False):
        axes.barh(
            range(len(methods)),
            shares[source],
            left=left,
            height=0.7,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            lw=0,
            label=source,
        )
        left = left + shares[source]

    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1])
    axes.set_xticklabels(["0", "50 %", "100 %"])
    axes.grid(axis="y", visible=False)


def _alternative_text(table: pd.DataFrame) -> str:
    """Return which sources make the largest parts, by metric."""
    varied = table.dropna(subset="share")
    largest = varied.loc[varied.groupby(["metric", "method"])["share"].idxmax()]
    parts = []
    for metric, rows in largest.groupby("metric"):
        parts.append(f"{metric}: {', '.join(rows['source'].unique())}")
    return f"Stacked bars that sum to 100 %. Largest parts by metric: {'; '.join(parts)}."

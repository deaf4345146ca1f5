"""Shares of the variance of a score: a bar for each method, a panel for each metric, a colour for each source."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from gpex_bench.plots.style import COLOURS, Drawing, shorten, styled
from gpex_bench.statistics.components import SOURCES

HATCHES = ("", "//", "", "..", "xx")  # beside the colours, so that no reader depends on these
WIDTH = 1.55  # inches of a panel


@styled
def repetition_bars(table: pd.DataFrame) -> Drawing:
    """Draw the shares of one dataset and model.

    Args:
        table: the frame of `components.repeated`.
    """
    if table.empty:
        raise ValueError("table must hold at least one component, got none.")
    metrics, methods = list(dict.fromkeys(table["metric"])), sorted(set(table["method"]))
    size = (1.7 + WIDTH * len(metrics), 1.1 + 0.27 * len(methods))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        shares = table[table["metric"] == metric].pivot_table(
            index="method", columns="source", values="share"
        )
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
        axes.set_title(shorten(metric), loc="left", size=8.5)
        axes.set(xlim=(0, 1), xticks=[0, 0.5, 1])
        axes.set_xticklabels(["0", "50 %", "100 %"])
        axes.grid(axis="y", visible=False)
    panels[0].set_yticks(range(len(methods)), [shorten(name) for name in methods])
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    first = table.iloc[0]
    varied = table.dropna(subset="share")
    largest = varied.loc[varied.groupby(["metric", "method"])["share"].idxmax()]
    leads = "; ".join(
        f"{metric}: {', '.join(part['source'].unique())}"
        for metric, part in largest.groupby("metric")
    )
    title = f"What a single score's variance comes from ({first['dataset']}, {first['model']})"
    return Drawing(
        figure, title, f"Stacked bars that sum to 100 %. Largest parts by metric: {leads}.", table
    )

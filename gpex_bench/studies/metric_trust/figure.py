"""How far each metric can be trusted: a row for each metric, a dot for each property."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from gpex_bench.plots.style import COLOURS, INK, MARKERS, Drawing, shorten, styled
from gpex_bench.studies.metric_trust.consistency import PARTS, WHOLE
from gpex_bench.tables.words import number

INCHES_A_ROW = 0.2


@styled
def trust_dots(ranking: pd.DataFrame) -> Drawing:
    """Draw meta-consistency and its four parts of each metric, the most consistent metric on top.

    Args:
        ranking: one row for each metric, in the order in which they are drawn: metric, value, and a
            column for each part.
    """
    if ranking.empty:
        raise ValueError("ranking must hold at least one metric, got none.")
    height = 1.4 + INCHES_A_ROW * len(ranking)
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.subplots()
    rows = range(len(ranking))

    for part, colour, marker in zip(PARTS, COLOURS, MARKERS, strict=False):
        axes.plot(ranking[part], rows, color=colour, marker=marker, ms=4, ls="none", label=part)
    axes.plot(ranking["value"], rows, color=INK, marker="|", ms=11, mew=2, ls="none", label=WHOLE)

    axes.set_yticks(rows, [shorten(name) for name in ranking["metric"]])
    axes.set_ylim(len(ranking) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("mean over networks and perturbations; 1 is best")
    figure.legend(loc="outside lower center", ncols=2)

    first, last = ranking.iloc[0], ranking.iloc[-1]
    alt = (
        f"Dots of {len(ranking)} metrics. The meta-consistency goes from {number(first['value'])} "
        f"({first['metric']}) down to {number(last['value'])} ({last['metric']})."
    )
    return Drawing(figure, "What each metric does under perturbations", alt, ranking)

"""How far each claimed method is ahead: a dot with its interval for each comparison."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from gpex_bench.plots.style import COLOURS, Drawing, shorten, styled


@styled
def draw_leads(table: pd.DataFrame) -> Drawing:
    """Draw the leads in units of the margin, with 95 % intervals over training seeds.

    Args:
        table: of `answer.answer`; comparisons without an interval have a dot alone.
    """
    unit = table["margin"].where(table["margin"] > 0)
    shown = table.assign(
        lead=table["mean"] / unit, lead_low=table["low"] / unit, lead_high=table["high"] / unit
    )
    height = 1.1 + 0.28 * max(1, len(shown))
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(-1, 1, color="0.92", lw=0)
    axes.axvline(0, color="0.6", lw=0.8)

    # A hollow dot: not shown, whatever the mean.
    colour = COLOURS[0]
    labels = []
    for place, row in enumerate(shown.to_dict("records")):
        fill = "white" if row["verdict"] == "not shown" else colour
        ends = [row["lead_low"], row["lead_high"]]
        axes.plot(ends, [place, place], color=colour, lw=1.4)
        axes.plot(row["lead"], place, "o", color=colour, mfc=fill, ms=5)

        who = f"{shorten(row['method'])} over {shorten(row['other'])}"
        labels.append(f"{row['claim'] + 1}. {who}, {row['dataset']} ({row['model']})")

    axes.set_yticks(range(len(shown)), labels)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("lead of the claimed method, in margins (grey: less than matters)")
    title = "Leads of the claimed methods over training seeds"
    return Drawing(figure, title, _alternative_text(shown), shown)


def _alternative_text(shown: pd.DataFrame) -> str:
    """Return how the comparisons came out."""
    counts = shown["verdict"].value_counts().sort_index()
    listed = ", ".join(f"{count} {word}" for word, count in counts.items())
    return f"A dot with its 95 % interval for each comparison. Outcomes: {listed}."

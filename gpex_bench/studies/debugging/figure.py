"""Dataset debugging: wrong labels found and test accuracy against the training samples shown."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gpex_bench.plots.style import COLOURS, GREY, MARKERS, Drawing, styled
from gpex_bench.studies.debugging.comparisons import CHANCE

TITLES = {"found": "wrong labels found", "accuracy": "test accuracy"}
# how many colours and markers are used before they repeat
N_LOOKS = 6


@styled
def draw_debugging(summary: pd.DataFrame, n_train: int) -> Drawing:
    """Draw means over the trainings with their 95 % intervals as bands; random is grey and dashed.

    Args:
        summary: of one network: ranking, shown, measure, mean, low, high, n_trainings.
        n_train: training samples; showing all of them would find every wrong label.
    """
    if summary.empty:
        raise ValueError("summary must hold at least one curve, got none.")

    figure = Figure(figsize=(8.6, 3.7), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (measure, title) in zip(panels, TITLES.items(), strict=True):
        _draw_curves(axes, summary[summary["measure"] == measure])
        axes.set_title(title)
        axes.set_xlabel(f"training samples shown and corrected (of {n_train})")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))

    n_trainings = int(summary["n_trainings"].max())
    heading = f"what is shown first; mean and 95 % interval of {n_trainings} trainings"
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=len(names),
        title=heading,
    )

    dataset, model = summary.iloc[0][["dataset", "model"]]
    title = f"Finding wrong labels in {dataset} ({model})"
    return Drawing(figure, title, _alternative_text(summary), summary)


def _draw_curves(axes: Axes, summary: pd.DataFrame) -> None:
    """Draw the curves of one measure."""
    names = [name for name in summary["ranking"].unique() if name != CHANCE]
    looks = {CHANCE: (GREY, "x", "--")}
    for place, name in enumerate(names):
        at = place % N_LOOKS
        looks[name] = (COLOURS[at], MARKERS[at], "-")

    for name, part in summary.groupby("ranking", sort=False):
        colour, marker, line = looks[str(name)]
        shown = part["shown"]
        axes.plot(
            shown,
            part["mean"],
            color=colour,
            marker=marker,
            ls=line,
            ms=4,
            lw=1.6,
            label=name,
        )
        if part["low"].notna().all():
            axes.fill_between(shown, part["low"], part["high"], color=colour, alpha=0.13, lw=0)


def _alternative_text(summary: pd.DataFrame) -> str:
    """Say what the figure shows, for a reader who does not see it."""
    most_shown = summary["shown"].max()
    last = summary[summary["shown"] == most_shown]

    ends = []
    for name, part in last.groupby("ranking", sort=False):
        numbers = []
        for row in part.itertuples():
            numbers.append(f"{TITLES[row.measure]} {row.mean:.0%}")
        ends.append(f"{name}: {', '.join(numbers)}")

    dataset, model = summary.iloc[0][["dataset", "model"]]
    after = f"After {int(most_shown)} shown training samples"
    return f"Curves for {dataset}, {model}. {after}: {'; '.join(ends)}."

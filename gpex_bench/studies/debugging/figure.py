"""Dataset debugging: wrong labels found and test accuracy against the training samples shown."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gpex_bench.plots.style import GREY, Drawing, styled

TITLES = {"found": "wrong labels found", "accuracy": "test accuracy"}
COLOURS = (
    "#0173b2",
    "#de8f05",
    "#029e73",
    "#cc78bc",
    "#ca9161",
    "#949494",
)  # seaborn's "colorblind" palette
MARKERS = "osD^vP"
CHANCE = "random"


@styled
def debugging_curves(summary: pd.DataFrame, n_train: int) -> Drawing:
    """Draw means over the trainings with their 95 % intervals as bands; random is grey and dashed.

    Args:
        summary: of one network: ranking, shown, measure, mean, low, high, n_trainings.
        n_train: training samples; showing all of them would find every wrong label.
    """
    if summary.empty:
        raise ValueError("summary must hold at least one curve, got none.")
    dataset, model = summary.iloc[0][["dataset", "model"]]
    figure = Figure(figsize=(8.6, 3.7), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (measure, title) in zip(panels, TITLES.items(), strict=True):
        _curves(axes, summary[summary["measure"] == measure])
        axes.set_title(title)
        axes.set_xlabel(f"training samples shown and corrected (of {n_train})")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    n_trainings = int(summary["n_trainings"].max())
    handles, names = panels[0].get_legend_handles_labels()
    title = f"what is shown first; mean and 95 % interval of {n_trainings} trainings"
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), title=title)
    last = summary[(summary["shown"] == summary["shown"].max())]
    ends = "; ".join(
        f"{name}: "
        + ", ".join(f"{TITLES[row.measure]} {row.mean:.0%}" for row in part.itertuples())
        for name, part in last.groupby("ranking", sort=False)
    )
    alt = f"Curves for {dataset}, {model}. After {int(summary['shown'].max())} shown training samples: {ends}."
    return Drawing(figure, f"Finding wrong labels in {dataset} ({model})", alt, summary)


def _curves(axes: Axes, summary: pd.DataFrame) -> None:
    """Draw the curves of one measure."""
    names = [name for name in summary["ranking"].unique() if name != CHANCE]
    styles = {name: (COLOURS[i % 6], MARKERS[i % 6], "-") for i, name in enumerate(names)} | {
        CHANCE: (GREY, "x", "--")
    }
    for name, part in summary.groupby("ranking", sort=False):
        colour, marker, line = styles[name]
        axes.plot(
            part["shown"],
            part["mean"],
            color=colour,
            marker=marker,
            ls=line,
            ms=4,
            lw=1.6,
            label=name,
        )
        if part["low"].notna().all():
            axes.fill_between(
                part["shown"], part["low"], part["high"], color=colour, alpha=0.13, lw=0
            )

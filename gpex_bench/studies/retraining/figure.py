"""Accuracy of retrained networks against what was removed; likeness of maps on permuted labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gpex_bench.plots.style import BLUE, COLOURS, GREY, MARKERS, ORANGE, Drawing, shorten, styled

TITLES = {"roar": "ROAR: first positions removed", "kar": "KAR: last positions removed"}
LABELS = {"permuted": "permuted labels (low is better)", "sibling": "right labels, other training"}
# colour, marker, line style
Look = tuple[str, str, str]


@styled
def draw_retraining(curve: pd.DataFrame, table: pd.DataFrame, chance: str) -> Drawing:
    """Draw the accuracies left by each method, and the rank correlations of maps.

    Random removal is grey and dashed.

    Args:
        curve: of one network: measure, method, share, mean, low, high.
        table: of the same network: measure, method, mean, low, high.
        chance: run id of the method that is random removal.
    """
    if curve.empty:
        raise ValueError("curve must hold at least one accuracy, got none.")
    looks = _looks(curve, chance)

    figure = Figure(figsize=(10.8, 4.4), layout="constrained")
    roar, kar, maps = figure.subplots(1, 3, width_ratios=[1, 1, 0.9])
    kar.sharey(roar)
    for axes, measure in ((roar, "roar"), (kar, "kar")):
        _draw_accuracies(axes, curve[curve["measure"] == measure], looks)
        axes.set_title(TITLES[measure])

    # the axis fits the means; bands may be wider
    reached = curve.loc[curve["measure"].isin(list(TITLES)), "mean"]
    lowest = max(0.0, float(reached.min()) - 0.08)
    highest = min(1.02, float(reached.max()) + 0.08)
    roar.set_ylabel("test accuracy after training again")
    roar.set_ylim(lowest, highest)
    kar.tick_params(labelleft=False)

    _draw_likenesses(maps, table)
    handles, labels = roar.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)

    dataset, model = curve.iloc[0][["dataset", "model"]]
    title = f"Training again without what methods point at, {dataset} ({model})"
    return Drawing(figure, title, _alternative_text(table), table)


def _looks(curve: pd.DataFrame, chance: str) -> dict[str, Look]:
    """Return how the curve of each method is drawn."""
    looks = {}
    names = sorted(set(curve["method"]) - {chance})
    for place, name in enumerate(names):
        colour = COLOURS[place % 8]
        marker = MARKERS[place % 10]
        looks[name] = (colour, marker, "-")

    looks[chance] = (GREY, "x", "--")
    return looks


def _draw_accuracies(axes: Axes, curve: pd.DataFrame, looks: dict[str, Look]) -> None:
    """Draw the curve of each method with its intervals."""
    for name, (colour, marker, line) in looks.items():
        part = curve[curve["method"] == name].sort_values("share")
        axes.plot(
            part["share"],
            part["mean"],
            label=shorten(name),
            color=colour,
            marker=marker,
            ls=line,
            ms=4,
            lw=1.5,
        )
        axes.fill_between(
            part["share"],
            part["low"],
            part["high"],
            color=colour,
            alpha=0.1,
            lw=0,
        )

    axes.set_xlabel("share of the positions replaced by the baseline")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _draw_likenesses(axes: Axes, table: pd.DataFrame) -> None:
    """Draw the correlations of each method's maps with those of the two other networks."""
    permuted = table[table["measure"] == "permuted"]
    best_last = permuted.sort_values(["mean", "method"], ascending=False)
    order = best_last["method"].tolist()

    looks = (("permuted", BLUE, "o", 0.12), ("sibling", ORANGE, "s", -0.12))
    for measure, colour, marker, away in looks:
        part = table[table["measure"] == measure].set_index("method").loc[order]
        mean = part["mean"]
        axes.errorbar(
            mean,
            np.arange(len(order)) + away,
            xerr=[mean - part["low"], part["high"] - mean],
            label=LABELS[measure],
            **_dots(colour, marker),
        )

    shown = table.loc[table["measure"].isin(list(LABELS)), "mean"]
    axes.set_xlim(min(-0.3, float(shown.min()) - 0.1), 1.08)
    axes.set_yticks(range(len(order)), [shorten(name) for name in order])
    axes.set_xlabel("rank correlation of maps")
    axes.set_title("Random labels")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), fontsize=8)


def _dots(colour: str, marker: str) -> dict[str, Any]:
    """Return the style of points with error bars."""
    return {"color": colour, "marker": marker, "ms": 5, "ls": "none", "capsize": 2}


def _alternative_text(table: pd.DataFrame) -> str:
    """Say what the figure shows, for a reader who does not see it."""
    of_roar = table[table["measure"] == "roar"]
    lowest_first = of_roar.sort_values(["mean", "method"])
    ends = [f"{row.method} {row.mean:.3f}" for row in lowest_first.itertuples()]
    return f"Test accuracy after ROAR, mean over the shares removed: {'; '.join(ends)}."

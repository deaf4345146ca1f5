"""Accuracy of retrained networks against what was removed, and how alike maps are when labels are permuted."""

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


@styled
def retraining_panels(curve: pd.DataFrame, table: pd.DataFrame, chance: str) -> Drawing:
    """Draw the accuracies left by each method, and the rank correlations of maps; chance is grey and dashed.

    Args:
        curve: of one network: measure, method, share, mean, low, high.
        table: of the same network: measure, method, mean, low, high.
        chance: run id of the method that stands for random removal.
    """
    if curve.empty:
        raise ValueError("curve must hold at least one accuracy, got none.")
    dataset, model = curve.iloc[0][["dataset", "model"]]
    names = [name for name in sorted(set(curve["method"])) if name != chance]
    looks = {name: (COLOURS[i % 8], MARKERS[i % 10], "-") for i, name in enumerate(names)} | {
        chance: (GREY, "x", "--")
    }
    figure = Figure(figsize=(10.8, 4.4), layout="constrained")
    roar, kar, maps = figure.subplots(1, 3, width_ratios=[1, 1, 0.9])
    kar.sharey(roar)
    for axes, measure in ((roar, "roar"), (kar, "kar")):
        _accuracies(axes, curve[curve["measure"] == measure], looks)
        axes.set_title(TITLES[measure])
    roar.set_ylabel("test accuracy after training again")
    reached = curve.loc[curve["measure"].isin(list(TITLES)), "mean"]
    roar.set_ylim(
        max(0.0, float(reached.min()) - 0.08), min(1.02, float(reached.max()) + 0.08)
    )  # bands may be wider
    kar.tick_params(labelleft=False)
    _likenesses(maps, table)
    handles, labels = roar.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    ends = table[table["measure"] == "roar"].sort_values(["mean", "method"])
    said = "; ".join(f"{row.method} {row.mean:.3f}" for row in ends.itertuples())
    alt = f"Test accuracy after ROAR, mean over the shares removed: {said}."
    return Drawing(
        figure, f"Training again without what methods point at, {dataset} ({model})", alt, table
    )


def _accuracies(axes: Axes, curve: pd.DataFrame, looks: dict[str, tuple[Any, ...]]) -> None:
    """Draw the curve of each method with its intervals."""
    for name, (colour, marker, line) in looks.items():
        part = curve[curve["method"] == name].sort_values("share")
        look = {"color": colour, "marker": marker, "ls": line, "ms": 4, "lw": 1.5}
        axes.plot(part["share"], part["mean"], label=shorten(name), **look)
        axes.fill_between(part["share"], part["low"], part["high"], color=colour, alpha=0.1, lw=0)
    axes.set_xlabel("share of the positions replaced by the baseline")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _likenesses(axes: Axes, table: pd.DataFrame) -> None:
    """Draw the correlations of each method's maps with those of the two other networks."""
    order = (
        table[table["measure"] == "permuted"]
        .sort_values(["mean", "method"], ascending=False)["method"]
        .tolist()
    )
    for measure, colour, marker, away in (
        ("permuted", BLUE, "o", 0.12),
        ("sibling", ORANGE, "s", -0.12),
    ):
        part = table[table["measure"] == measure].set_index("method").loc[order]
        reach = [part["mean"] - part["low"], part["high"] - part["mean"]]
        look: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "ms": 5,
            "ls": "none",
            "capsize": 2,
        }
        axes.errorbar(
            part["mean"], np.arange(len(order)) + away, xerr=reach, label=LABELS[measure], **look
        )
    axes.set_yticks(range(len(order)), [shorten(name) for name in order])
    shown = table.loc[table["measure"].isin(list(LABELS)), "mean"]
    axes.set_xlim(min(-0.3, float(shown.min()) - 0.1), 1.08)
    axes.set_xlabel("rank correlation of maps")
    axes.set_title("Random labels")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), fontsize=8)

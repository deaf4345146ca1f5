"""Removal curves: what becomes of the output as features are replaced by the baseline.

The output is the target's probability; of a network that gives a number, its value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpex_bench.plots.style import BLUE, GREY, INK, ORANGE, Drawing, network_name, styled
from gpex_bench.tables.columns import DRAWN_CURVES, require
from gpex_bench.tables.order import Record, control_ids, ordered
from gpex_bench.tables.words import number
from gpex_bench.types import Role

LINES = {
    "most_first": (BLUE, "-", "most relevant first"),
    "least_first": (ORANGE, "--", "least relevant first"),
}


def area(curve: pd.DataFrame) -> float:
    """Return the area between the least-first and the most-first curve of one method.

    In [-1, 1] for probabilities, in the units of a number; more is better.
    """
    mean = curve.pivot(index="fraction", columns="order", values="mean").dropna()
    gap = mean["least_first"] - mean["most_first"]
    return float(np.trapezoid(gap, mean.index.to_numpy()))


@styled
def removal_curves(curves: pd.DataFrame, methods: Sequence[Record]) -> Drawing:
    """Draw one small panel per method of one dataset and model, the random control grey in each.

    Args:
        curves: the frame of `order.main_curves`, of one dataset and model.
        methods: what is known about the methods.
    """
    curves = ordered(require(curves, DRAWN_CURVES, "curves")).sort_values("fraction", kind="stable")
    controls = control_ids(methods)
    random = min(control_ids(methods, Role.RANDOM) & set(curves["method"]), default="")
    areas = {str(name): area(part) for name, part in curves.groupby("method")}
    scale = max(map(abs, areas.values()))
    names = sorted(areas, key=lambda name: (name in controls, -areas[name], name))

    is_number = bool(curves["output"].eq("logit").all())
    figure, panels, n_columns = _panels(len(names))
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, curves[curves["method"] == name], curves[curves["method"] == random])
        colour = GREY if name in controls else INK
        axes.set_title(f"{name}\narea {number(areas[name], scale)}", size=8.5, color=colour)
        if not is_number:
            axes.set(ylim=(0, 1.02), yticks=[0, 0.5, 1])

    # The panel above an empty place gets the labels of the axis.
    for empty, above in zip(panels[len(names) :], panels[len(names) - n_columns :], strict=False):
        empty.set_visible(False)
        above.tick_params(labelbottom=True)
    figure.supxlabel(
        "share of features replaced by the baseline (bands: 95 % intervals over samples)", size=9
    )
    label = "output of the network, in its units" if is_number else "probability of the target"
    figure.supylabel(label, size=9)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)

    where, best = network_name(curves), names[0]
    alt = (
        f"Removal curves of {len(names)} methods on {where}, mean and 95 % band over samples. The "
        "gap between removing the least and the most relevant features first is widest for "
        f"{best} ({number(areas[best], scale)})."
    )
    return Drawing(figure, f"Removal curves on {where}", alt, curves)


def _panels(n_methods: int) -> tuple[Figure, list[Axes], int]:
    """Return a figure with a panel for each method, and its number of columns."""
    # Of two widths the one with fewer empty places.
    widths = (7, 6) if n_methods > 16 else (5, 4)
    n_columns = min(widths, key=lambda number: -n_methods % number)
    n_rows = math.ceil(n_methods / n_columns)

    height = 0.9 + 8.6 / n_columns * n_rows
    figure = Figure(figsize=(10.8, height), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    return figure, list(panels.flat), n_columns


def _panel(axes: Axes, curve: pd.DataFrame, random: pd.DataFrame) -> None:
    """Draw the two curves of one method with their bands, over those of the random control."""
    for index, (_, part) in enumerate(random.groupby("order")):
        label = "random control, both orders" if index == 0 else None
        axes.plot(part["fraction"], part["mean"], color=GREY, lw=1, ls=":", label=label)

    for order, (colour, dash, label) in LINES.items():
        part = curve[curve["order"] == order].sort_values("fraction")
        band = (part["fraction"], part["low"], part["high"])
        axes.fill_between(*band, color=colour, alpha=0.25, lw=0)
        axes.plot(part["fraction"], part["mean"], color=colour, ls=dash, lw=1.6, label=label)

    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1])
    axes.set_xticklabels(["0", "0.5", "1"])
    axes.tick_params(length=0)
    axes.grid(False)

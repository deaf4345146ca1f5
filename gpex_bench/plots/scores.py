"""Cost against a score, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpex_bench.plots.style import BLUE, GREY, INK, Drawing, network_name, styled
from gpex_bench.tables.columns import require
from gpex_bench.tables.order import records

COST = (
    "dataset",
    "model",
    "method",
    "metric",
    "rows_per_sample",
    "mean",
    "low",
    "high",
    "is_control",
    "is_pareto",
)


# Points: half the size of a marker, and the size of a name of one letter.
MARKER = 5
LETTER = 5.6
LINE = 10.5
Box = tuple[float, float, float, float]  # left, bottom, right, top; in points


@styled
def cost_against_score(cost: pd.DataFrame, higher_is_better: bool) -> Drawing:
    """Draw one score of one network against rows per sample, with the Pareto front.

    Args:
        cost: the frame of `statistics.outcomes.cost_summary`, of one dataset and model.
        higher_is_better: direction of the score.
    """
    require(cost, COST, "cost")
    cost = cost.sort_values(["rows_per_sample", "mean", "method"])
    where, metric = network_name(cost), cost.iloc[0]["metric"]
    front = cost[cost["is_pareto"]]

    figure = Figure(figsize=(8.6, 5.2), layout="constrained")
    axes = figure.subplots()
    _points(axes, cost)
    look: dict[str, Any] = {"drawstyle": "steps-post", "lw": 1.2, "alpha": 0.6, "zorder": 1}
    label = "front (bold): no cheaper method is as good, controls aside"
    axes.plot(front["rows_per_sample"], front["mean"], color=BLUE, label=label, **look)
    axes.plot([], [], "o", color=BLUE, ms=6, label="method")
    axes.plot([], [], "X", color=GREY, ms=6, label="control")
    figure.legend(loc="outside upper right", ncols=3)

    _cost_axis(axes, cost["rows_per_sample"].max())
    direction = "higher" if higher_is_better else "lower"
    axes.set_ylabel(f"{metric} ({direction} is better), 95 % interval")
    _labels(axes, cost)

    names = ", ".join(front["method"])
    alt = f"Cost against {metric} on {where}. On the Pareto front, from cheap to dear: {names}."
    return Drawing(figure, f"Cost against {metric} on {where}", alt, cost)


def _points(axes: Axes, cost: pd.DataFrame) -> None:
    """Draw each method with its interval."""
    for row in records(cost):
        colour, marker = (GREY, "X") if row["is_control"] else (BLUE, "o")
        error = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
        look: dict[str, Any] = {"fmt": marker, "color": colour, "ms": 6, "elinewidth": 1.2}
        axes.errorbar(row["rows_per_sample"], row["mean"], error, **look)


def _cost_axis(axes: Axes, most: float) -> None:
    """Make the axis of cost logarithmic, with a place for 0."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)
    axes.set_xlim(-0.25, max(10.0, most * 6))

    powers = range(int(np.log10(max(most, 10))) + 1)
    ticks = [0.0, *(10.0**power for power in powers)]
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.minorticks_off()

    counted = "rows through the network per explained sample: forward + 2 backward + surrogate"
    axes.set_xlabel(f"{counted}\n(log scale; fitting a surrogate is not counted)")


def _labels(axes: Axes, cost: pd.DataFrame) -> None:
    """Write each method's name at the nearest place where it covers no other name and no point."""
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("axes must belong to a figure, got axes without one.")
    figure.draw_without_rendering()

    to_points = 72 / figure.dpi
    places = cost[["rows_per_sample", "mean"]].to_numpy(dtype=float)
    at = axes.transData.transform(places) * to_points
    left, right = axes.bbox.x0 * to_points, axes.bbox.x1 * to_points + 60

    taken: list[Box] = [(x - MARKER, y - MARKER, x + MARKER, y + MARKER) for x, y in at]
    taken += _steps(at[cost["is_pareto"].to_numpy()])
    for (x, y), row in zip(at, records(cost), strict=True):
        side, dy, box = _free_place(x, y, len(row["method"]), taken, (left, right))
        taken.append(box)
        arrow = {"arrowstyle": "-", "color": GREY, "lw": 0.5} if abs(dy) > 6 else None
        axes.annotate(
            row["method"],
            (row["rows_per_sample"], row["mean"]),
            xytext=(8 * side, dy),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            size=8.5,
            color=GREY if row["is_control"] else INK,
            weight="bold" if row["is_pareto"] else "normal",
            arrowprops=arrow,
        )


def _steps(front: np.ndarray) -> list[Box]:
    """Return the boxes around the steps of the front."""
    boxes: list[Box] = []
    for (x, y), (next_x, next_y) in zip(front, front[1:], strict=False):
        boxes.append((x, y - 1, next_x, y + 1))
        boxes.append((next_x - 1, min(y, next_y), next_x + 1, max(y, next_y)))
    return boxes


def _free_place(
    x: float, y: float, n_letters: int, taken: Sequence[Box], limits: tuple[float, float]
) -> tuple[int, int, Box]:
    """Return side, height and box of a name: the nearest free place, or the last one tried."""
    width = LETTER * n_letters + 2
    leftmost, rightmost = limits
    heights = sorted(range(-120, 121, 6), key=lambda dy: (abs(dy), dy))
    for dy in heights:
        bottom = y + dy - LINE / 2
        top = y + dy + LINE / 2
        for side in (1, -1):
            left = x + 8 if side > 0 else x - 8 - width
            box = (left, bottom, left + width, top)

            is_inside = left > leftmost and left + width < rightmost
            if is_inside and not any(_overlap(box, other) for other in taken):
                return side, dy, box
    return side, dy, box


def _overlap(one: Box, other: Box) -> bool:
    """Return whether two boxes overlap."""
    return bool(one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3])

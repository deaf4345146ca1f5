"""Cost against a score, with the Pareto front."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpex_bench.plots.style import BLUE, GREY, INK, Drawing, styled
from gpex_bench.tables.columns import require

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


def _where(frame: pd.DataFrame) -> str:
    """Return "dataset, model" of a frame that holds one of each."""
    pairs = frame[["dataset", "model"]].drop_duplicates()
    if len(pairs) != 1:
        raise ValueError(
            f"A figure shows one dataset and model, got {pairs.to_numpy().tolist()}; pass one at a time."
        )
    return f"{pairs.iloc[0]['dataset']} ({pairs.iloc[0]['model']})"


@styled
def cost_against_score(cost: pd.DataFrame, higher_is_better: bool) -> Drawing:
    """Draw one score of one dataset and model against rows through the network per sample, with the Pareto front."""
    require(cost, COST, "cost")
    cost = cost.sort_values(["rows_per_sample", "mean", "method"])
    where, metric = _where(cost), cost.iloc[0]["metric"]
    figure = Figure(figsize=(8.6, 5.2), layout="constrained")
    axes = figure.subplots()
    for row in cost.to_dict("records"):
        colour, marker = (GREY, "X") if row["is_control"] else (BLUE, "o")
        error = [[row["mean"] - row["low"]], [row["high"] - row["mean"]]]
        axes.errorbar(
            row["rows_per_sample"],
            row["mean"],
            error,
            fmt=marker,
            color=colour,
            ms=6,
            elinewidth=1.2,
        )
    front = cost[cost["is_pareto"]]
    step: dict[str, Any] = {
        "drawstyle": "steps-post",
        "color": BLUE,
        "lw": 1.2,
        "alpha": 0.6,
        "zorder": 1,
    }
    said = "front (bold): no cheaper method is as good, controls aside"
    axes.plot(front["rows_per_sample"], front["mean"], label=said, **step)
    axes.plot([], [], "o", color=BLUE, ms=6, label="method")
    axes.plot([], [], "X", color=GREY, ms=6, label="control")
    figure.legend(loc="outside upper right", ncols=3)
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)
    most = cost["rows_per_sample"].max()
    axes.set_xlim(-0.25, max(10.0, most * 6))
    ticks = [0.0, *(10.0**power for power in range(int(np.log10(max(most, 10))) + 1))]
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.minorticks_off()
    counted = "rows through the network per explained sample: forward + 2 backward + surrogate"
    axes.set_xlabel(f"{counted}\n(log scale; fitting a surrogate is not counted)")
    axes.set_ylabel(
        f"{metric} ({'higher' if higher_is_better else 'lower'} is better), 95 % interval"
    )
    _labels(axes, cost)
    names = ", ".join(front["method"])
    alt = f"Cost against {metric} on {where}. On the Pareto front, from cheap to dear: {names}."
    return Drawing(figure, f"Cost against {metric} on {where}", alt, cost)


def _labels(axes: Axes, cost: pd.DataFrame) -> None:
    """Write each method's name beside its point, at the nearest place where it covers no other name and no point."""
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("axes must belong to a figure.")
    figure.draw_without_rendering()
    to_points = 72 / figure.dpi
    at = (
        axes.transData.transform(cost[["rows_per_sample", "mean"]].to_numpy(dtype=float))
        * to_points
    )
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in at]
    front = at[cost["is_pareto"].to_numpy()]
    for (x, y), (next_x, next_y) in zip(front, front[1:], strict=False):
        taken += [
            (x, y - 1, next_x, y + 1),
            (next_x - 1, min(y, next_y), next_x + 1, max(y, next_y)),
        ]
    right = axes.bbox.x1 * to_points
    for (x, y), row in zip(at, cost.to_dict("records"), strict=True):
        width, height = 5.6 * len(row["method"]) + 2, 10.5
        options = [
            (side, dy)
            for dy in sorted(range(-120, 121, 6), key=lambda dy: (abs(dy), dy))
            for side in (1, -1)
        ]
        for side, dy in options:
            left = x + 8 if side > 0 else x - 8 - width
            box = (left, y + dy - height / 2, left + width, y + dy + height / 2)
            if (
                box[2] < right + 60
                and box[0] > axes.bbox.x0 * to_points
                and not any(_overlap(box, other) for other in taken)
            ):
                break
        taken.append(box)
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
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.5} if abs(dy) > 6 else None,
        )


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Return whether two boxes (left, bottom, right, top) overlap."""
    return bool(one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3])

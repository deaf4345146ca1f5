"""Scores at a glance: a heat map of methods and metrics, and cost against a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gpex_bench.frames import (
    OUTCOMES,
    RANDOM,
    Record,
    controls,
    interval,
    method_order,
    metric_order,
    records,
    require,
)
from gpex_bench.plots.style import BLUE, GREY, INK, Drawing, styled, words

COST = ("dataset", "model", "method", "metric", "rows_per_sample", "mean", "low", "high", "is_control", "is_pareto")


def scaled(outcomes: pd.DataFrame, methods: Sequence[Record], metrics: Sequence[Record]) -> pd.Series:
    """Return each score between the random control (0) and the best method that is no control (1), clipped to [-1, 1].

    The direction is respected: negative is worse than random. NaN without a score; 0 if there is no random control.
    """
    result = pd.Series(np.nan, index=outcomes.index)
    up = {record["metric"]: record["higher_is_better"] for record in metrics}
    for metric, part in outcomes[outcomes["state"] == "ok"].groupby("metric"):
        chance = part.loc[part["method"].isin(list(controls(methods, RANDOM))), "mean"]
        better = (part["mean"] - (chance.mean() if len(chance) else part["mean"])) * (1 if up[metric] else -1)
        best = better[~part["method"].isin(list(controls(methods)))].max()
        scale = best if best > 0 else better.abs().max()
        result.loc[part.index] = (better / scale if scale > 0 else better).clip(-1, 1)
    return result


@styled
def heat_map(outcomes: pd.DataFrame, methods: Sequence[Record], metrics: Sequence[Record], headline: str) -> Drawing:
    """Draw the scores of one dataset and model: methods x metrics, the number and its interval in each cell."""
    require(outcomes, OUTCOMES, "outcomes")
    outcomes = outcomes.assign(colour=scaled(outcomes, methods, metrics))
    rows, columns = method_order(outcomes, methods, metrics, headline), metric_order(outcomes, metrics, headline)
    cells = {(row["method"], row["metric"]): row for row in records(outcomes)}
    up = {record["metric"]: record["higher_is_better"] for record in metrics}
    figure = Figure(figsize=(2.4 + 1.04 * len(columns), 1.5 + 0.44 * len(rows)), layout="constrained")
    axes = figure.subplots()
    colour = outcomes.pivot(index="method", columns="metric", values="colour").loc[rows, columns].to_numpy(dtype=float)
    shading = {"cmap": "BrBG", "vmin": -1.6, "vmax": 1.6}  # the dark ends of the scale would hide the text
    bar = {"label": "0 = random control, 1 = best method, cut at −1", "ticks": [-1, 0, 1], "aspect": 40, "pad": 0.01}
    is_large = len(rows) > 4
    sns.heatmap(colour, ax=axes, linewidths=1.5, linecolor="white", cbar=is_large, cbar_kws=bar, **shading)
    if is_large:
        figure.axes[-1].set_ylim(-1, 1)
    for y, method in enumerate(rows):
        for x, metric in enumerate(columns):
            _cell(axes, (x, y), cells[method, metric])
    axes.set_xticks(np.arange(len(columns)) + 0.5, [f"{words(name)} {'↑' if up[name] else '↓'}" for name in columns])
    axes.set_yticks(np.arange(len(rows)) + 0.5, [words(name) for name in rows], rotation=0)
    axes.tick_params(length=0, labeltop=True, labelbottom=False, rotation=0)
    axes.set(ylabel="")
    for label, name in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(GREY if name in controls(methods) else INK)
    axes.set_xlabel("● best, = tied; [95 % interval]\ngrey names: controls", size=8, labelpad=8)
    where = _where(outcomes)
    kinds = {record["metric"]: record["measures"] for record in metrics}
    n_blank = int((outcomes["state"] != "ok").sum())
    alt = (
        f"Heat map of {len(rows)} methods and {len(columns)} metrics on {where}. {_leader(outcomes, headline)}"
        f" {n_blank} of {len(outcomes)} cells hold no number (failed or not applicable)."
    )
    title = f"Scores on {where}: {', '.join(dict.fromkeys(kinds[name] for name in columns))}"
    return Drawing(figure, title, alt, outcomes)


def _cell(axes: Axes, corner: tuple[int, int], row: Mapping[str, Any]) -> None:
    """Write one cell: the mean over the interval, bold if best or tied; hatched without a number."""
    x, y = corner
    if row["state"] == "ok":
        mean, ends = interval(row["mean"], row["low"], row["high"])
        mark = {"best": " ●", "tied": " ="}.get(row["mark"], "")
        axes.text(
            x + 0.5,
            y + 0.36,
            mean + mark,
            ha="center",
            va="center",
            weight="bold" if mark else "normal",
            color="#111111",
        )
        axes.text(x + 0.5, y + 0.74, ends, ha="center", va="center", size=6.8, color="#111111")
        return
    label = "n/a" if row["state"] == "not_applicable" else "missing" if row["state"] == "missing" else "failed"
    failed = label != "n/a"
    style: dict[str, Any] = {"hatch": "xxxx" if failed else "//", "edgecolor": "#c9c9c9", "facecolor": "#f2f2f2"}
    axes.add_patch(Rectangle((x + 0.02, y + 0.03), 0.96, 0.94, linewidth=0, **style))
    text: dict[str, Any] = {"ha": "center", "va": "center", "size": 8, "weight": "bold" if failed else "normal"}
    patch = {"facecolor": "#f2f2f2", "edgecolor": "none", "pad": 1.2}
    axes.text(x + 0.5, y + 0.5, label, color="#7a1f1f" if failed else "#555555", bbox=patch, **text)


def _where(frame: pd.DataFrame) -> str:
    """Return "dataset, model" of a frame that holds one of each."""
    pairs = frame[["dataset", "model"]].drop_duplicates()
    if len(pairs) != 1:
        raise ValueError(f"A figure shows one dataset and model, got {pairs.to_numpy().tolist()}; pass one at a time.")
    return f"{pairs.iloc[0]['dataset']} ({pairs.iloc[0]['model']})"


def _leader(outcomes: pd.DataFrame, headline: str) -> str:
    """Say which methods lead by one metric."""
    lead = outcomes[(outcomes["metric"] == headline) & outcomes["is_best_group"]].sort_values(["is_best", "method"])
    names = [f"{row['method']} ({interval(row['mean'], row['low'], row['high'])[0]})" for row in records(lead)][::-1]
    if not names:
        return f"No method has a score for {headline}."
    return f"Best by {headline}: {names[0]}" + (f", tied with {', '.join(names[1:])}." if names[1:] else ".")


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
        axes.errorbar(row["rows_per_sample"], row["mean"], error, fmt=marker, color=colour, ms=6, elinewidth=1.2)
    front = cost[cost["is_pareto"]]
    step: dict[str, Any] = {"drawstyle": "steps-post", "color": BLUE, "lw": 1.2, "alpha": 0.6, "zorder": 1}
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
    axes.set_ylabel(f"{metric} ({'higher' if higher_is_better else 'lower'} is better), 95 % interval")
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
    at = axes.transData.transform(cost[["rows_per_sample", "mean"]].to_numpy(dtype=float)) * to_points
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in at]
    front = at[cost["is_pareto"].to_numpy()]
    for (x, y), (next_x, next_y) in zip(front, front[1:], strict=False):
        taken += [(x, y - 1, next_x, y + 1), (next_x - 1, min(y, next_y), next_x + 1, max(y, next_y))]
    right = axes.bbox.x1 * to_points
    for (x, y), row in zip(at, cost.to_dict("records"), strict=True):
        width, height = 5.6 * len(row["method"]) + 2, 10.5
        options = [(side, dy) for dy in sorted(range(-120, 121, 6), key=lambda dy: (abs(dy), dy)) for side in (1, -1)]
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

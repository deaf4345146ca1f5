"""How well a GP stands in for the network: a scatter per head, and all heads side by side."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gpex_bench.frames import PREDICTIONS, below_one, require
from gpex_bench.plots.style import BLUE, GREY, ORANGE, Drawing, shorten, styled

SUMMARY = ("dataset", "model", "surrogate", "split", "head", "statistic", "mean", "low", "high", "is_weakest")
N_POINTS = 120  # points drawn per head; the statistics are of all
N_COLUMNS = 5


def _title(frame: pd.DataFrame, what: str) -> str:
    """Name what is shown."""
    place = frame.iloc[0]
    return (
        f"{what} of {place['surrogate']} and network on {place['dataset']} ({place['model']}), {place['split']} items"
    )


@styled
def agreement_scatter(predictions: pd.DataFrame, agreement: pd.DataFrame) -> Drawing:
    """Draw the GP's mean against the network's output, one panel per head, the weakest head marked.

    Args:
        predictions: of one dataset, model, surrogate and split; seeds together.
        agreement: the frame of `statistics.agreement_summary` for the same.
    """
    require(predictions, PREDICTIONS, "predictions")
    require(agreement, SUMMARY, "agreement")
    values = agreement.pivot(index="head", columns="statistic", values="mean")
    weakest = str(next(iter(agreement.loc[agreement["is_weakest"], "head"]), ""))  # none where all heads are constant
    heads = list(dict.fromkeys(predictions.sort_values("head")["head"]))
    n_rows = math.ceil(len(heads) / N_COLUMNS)
    n_columns = math.ceil(len(heads) / n_rows)
    figure = Figure(figsize=(2.15 * n_columns + 0.4, 2.55 * n_rows + 0.3), layout="constrained")
    panels = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    shown = []
    for axes, head in zip(panels, heads, strict=False):
        points = thin(predictions[predictions["head"] == head])
        shown.append(points)
        ends = [points[["network", "mean"]].to_numpy().min(), points[["network", "mean"]].to_numpy().max()]
        axes.plot(ends, ends, color=GREY, lw=0.9, zorder=1)
        colour = ORANGE if head == weakest else BLUE
        axes.scatter(points["network"], points["mean"], s=7, color=colour, alpha=0.55, lw=0, zorder=2)
        axes.set_aspect("equal", adjustable="datalim")
        mark = "weakest head\n" if head == weakest else "\n"
        axes.set_title(
            f"{mark}{shorten(head, 22)}\n{_said(values.loc[[head]])}",
            size=8.5,
            weight="bold" if head == weakest else "normal",
        )
    for axes in panels[len(heads) :]:
        axes.set_visible(False)
    figure.supxlabel("output of the network (logit)", size=9)
    figure.supylabel("mean of the GP (logit)", size=9)
    low = f"The weakest head is {weakest}: {_said(values.loc[[weakest]])}." if weakest else "No head varies."
    alt = f"{len(heads)} scatter plots, one per head, of the GP's mean against the network's output. {low}"
    return Drawing(figure, _title(predictions, "Outputs"), alt, pd.concat(shown, ignore_index=True))


def _said(values: pd.DataFrame) -> str:
    """Write r and R² of a head; they are undefined where the network's output is constant."""
    r, r2 = values["pearson"].item(), values["r2"].item()
    return "network constant: r undefined" if math.isnan(r) else f"r = {below_one(r)}, R² = {below_one(r2)}"


def thin(points: pd.DataFrame) -> pd.DataFrame:
    """Return at most N_POINTS rows, evenly spaced over the sorted outputs, so that the range is kept."""
    points = points.sort_values(["network", "seed", "sample"])
    keep = np.unique(np.linspace(0, len(points) - 1, min(N_POINTS, len(points))).round().astype(int))
    return points.iloc[keep]


@styled
def agreement_heads(agreement: pd.DataFrame, statistic: str = "pearson", split: str = "test") -> Drawing:
    """Draw one statistic of every head, one panel per dataset and model, the weakest head of each marked.

    Args:
        agreement: the frame of `statistics.agreement_summary`.
        statistic: which one.
        split: test or mixed.
    """
    require(agreement, SUMMARY, "agreement")
    chosen = agreement[
        (agreement["statistic"] == statistic) & (agreement["split"] == split) & (agreement["head"] != "all")
    ]
    groups = list(chosen.groupby(["dataset", "model", "surrogate"]))
    tallest = max(len(part) for _, part in groups)
    figure = Figure(figsize=(3.6 * len(groups), 0.9 + 0.27 * max(tallest, 4)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)  # type: ignore[union-attr, call-arg]
    least = chosen["low"].min() if chosen["low"].notna().any() else 0.0
    left = least - 0.1 * (1 - least)
    named, weakest = {"pearson": "Pearson r", "r2": "R²"}.get(statistic, statistic), []
    for axes, ((dataset, model, surrogate), part) in zip(
        figure.subplots(1, len(groups), squeeze=False).flat, groups, strict=True
    ):
        part = part.sort_values(["mean", "head"], ascending=[False, True])
        for y, row in enumerate(part.to_dict("records")):
            colour = ORANGE if row["is_weakest"] else BLUE
            axes.plot([row["low"], row["high"]], [y, y], color=colour, lw=1.4)
            axes.plot(row["mean"], y, "o", color=colour, ms=5)
            axes.annotate(below_one(row["mean"]), (1.02, y), xycoords=axes.get_yaxis_transform(), va="center", size=8)
        axes.set_yticks(range(len(part)), [shorten(head, 18) for head in part["head"]])
        axes.set(xlim=(left, 1.0), ylim=(len(part) - 0.5, -0.5), xlabel=f"{named}, mean and range over seeds")
        axes.set_title(f"{dataset} ({model}), {surrogate}", loc="left")
        axes.grid(axis="y", visible=False)
        low = part[part["is_weakest"]] if part["is_weakest"].any() else part.tail(1)
        if not math.isnan(low.iloc[0]["mean"]):
            weakest.append(f"{low.iloc[0]['head']} on {dataset} ({below_one(low.iloc[0]['mean'])})")
    alt = f"{named} of GP and network for every head on {split} items. Weakest heads: {', '.join(weakest) or 'none'}."
    return Drawing(figure, f"Agreement of every head ({named}, {split} items)", alt, chosen)

"""Score against rows and seconds, agreement between seeds, and the convergence of evolution."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpex_bench.plots.style import (
    COLOURS,
    GREY,
    INK,
    MARKERS,
    Drawing,
    plain_numbers,
    shorten,
    styled,
)
from gpex_bench.studies.budget.plan import OWN_COST, Budget
from gpex_bench.tables.order import records

SIDES = {
    "rows": "rows per image (a backward row counts as two)",
    "cpu_seconds": "CPU seconds per image (measured)",
}
# pink and yellow are faint as lines
DARK = [colour for colour in COLOURS if colour not in ("#fbafe4", "#ece133")]
# a second round of colours is dashed
LINES = ("-", "--")
OWN_MARKERS = "*Pph8<"
OWN_DASHES = [(0, (4, 2)), (0, (1, 1.5)), (0, (6, 1, 1, 1))]
# how far below the curves a line of no cost is still drawn, in units of the score
BELOW = 0.15
MEASURES = {"jaccard": "Jaccard index of the top {top:.0%}", "spearman": "rank correlation"}


@styled
def faithfulness_curves(curve: pd.DataFrame, plan: Budget, metric: str) -> Drawing:
    """Draw mean scores against rows and seconds; own costs are points, methods without rows lines.

    Args:
        curve: of one network, as `faithfulness.curves` makes it.
        plan: of the study; its reference is marked.
        metric: run id of the score.
    """
    ran = curve[curve["status"] == "ok"]
    if ran.empty:
        raise ValueError("curve must hold at least one score, got none.")
    figure = Figure(figsize=(9.6, 5.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (side, label) in zip(panels, SIDES.items(), strict=True):
        _curves(axes, ran[ran["budget"] != OWN_COST], side, plan.reference_method)
        _own_costs(axes, ran[ran["budget"] == OWN_COST], side)
        _reference(axes, ran, plan)
        axes.set_xscale("log")
        axes.set_xlabel(label)
        plain_numbers(axes.xaxis)

    panels[0].set_ylabel(f"{metric}, mean over the images")
    handles, names = panels[0].get_legend_handles_labels()
    labels = [shorten(name, 30) for name in names]
    figure.legend(handles, labels, loc="outside lower center", ncols=5)

    place = ran.iloc[0]
    title = f"Faithfulness against cost, {place['dataset']} ({place['model']})"
    best = ran.sort_values("mean").groupby("method").last().sort_values("mean", ascending=False)
    means = "; ".join(
        f"{name} {row['mean']:.2f} at {row['rows']:.0f} rows" for name, row in best.iterrows()
    )
    return Drawing(figure, title, f"Curves of {metric}. Best mean of each method: {means}.", curve)


def _reference(axes: Axes, ran: pd.DataFrame, plan: Budget) -> None:
    """Shade the scores that reach the reference."""
    is_reference = ran["method"] == plan.reference_method
    goal = ran[is_reference & (ran["budget"] == plan.reference_budget)]
    label = f"{plan.reference_method}-{plan.reference_budget}, up to {plan.tolerance:.0%} less"
    for level in goal["mean"]:
        enough = level - plan.tolerance * abs(level)
        axes.axhspan(enough, level, color=GREY, alpha=0.25, lw=0, label=label)


def _curves(axes: Axes, ran: pd.DataFrame, side: str, reference: str) -> None:
    """Draw each method's curve, the reference's black and heavy."""
    others = [name for name in sorted(set(ran["method"])) if name != reference]
    for name, part in ran.groupby("method", sort=True):
        line = part.sort_values("budget")
        look: dict[str, Any] = {"color": INK, "marker": "s", "lw": 2.2}
        if name != reference:
            place = others.index(str(name))
            look = {
                "color": DARK[place % 8],
                "marker": MARKERS[place % 10],
                "ls": LINES[place // 8 % 2],
                "lw": 1.3,
            }
        axes.plot(line[side], line["mean"], ms=4.5, label=str(name), **look)


def _own_costs(axes: Axes, ran: pd.DataFrame, side: str) -> None:
    """Draw a point with its interval for each method, and a line for one that costs no row.

    A line far below all curves would press them together: it is left out, and its height named.
    """
    markers = cycle(OWN_MARKERS)
    dashes = cycle(OWN_DASHES)
    floor = axes.get_ylim()[0]
    for row in records(ran.sort_values("method")):
        name = row["method"]
        mean = row["mean"]
        if row["rows"] > 0:
            reach = [[mean - row["low"]], [row["high"] - mean]]
            look: dict[str, Any] = {"color": INK, "marker": next(markers), "ms": 7, "lw": 1}
            axes.errorbar([row[side]], [mean], reach, ls="none", label=name, **look)
        elif mean >= floor - BELOW:
            axes.axhline(mean, color=GREY, ls=next(dashes), lw=1.3, label=name)
        else:
            axes.plot([], [], ls="none", label=f"{name} ({mean:.2f}, below)")


@styled
def stability_dots(table: pd.DataFrame, plan: Budget) -> Drawing:
    """Draw the agreement between seeds of each method with its intervals, the most stable on top.

    Args:
        table: of one network, as `stability.summary` makes it.
        plan: of the study.
    """
    ran = table[table["status"] == "ok"].sort_values(["jaccard", "method"], kind="stable")
    if ran.empty:
        raise ValueError("table must hold at least one method that ran, got none.")
    figure = Figure(figsize=(8.6, 1.2 + 0.3 * len(ran)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    height = np.arange(len(ran))
    for axes, (measure, label) in zip(panels, MEASURES.items(), strict=True):
        mean = ran[measure]
        low = ran[f"{measure}_low"]
        # rounding can put an end of the interval of equal numbers beyond their mean
        below = (mean - low).clip(lower=0)
        above = (ran[f"{measure}_high"] - mean).clip(lower=0)
        look: dict[str, Any] = {"color": COLOURS[0], "marker": "o", "ms": 5, "capsize": 2}
        axes.errorbar(mean, height, xerr=[below, above], ls="none", **look)
        axes.set_xlabel(label.format(top=plan.top))
        axes.set_xlim(min(-0.02, float(low.min()) - 0.05), 1.03)
    panels[0].set_yticks(height, [shorten(name) for name in ran["method"]])

    place = ran.iloc[0]
    title = f"Agreement between {plan.stability_seeds} seeds, {place['dataset']} ({place['model']})"
    means = "; ".join(
        f"{row.method} {row.jaccard:.2f} and {row.spearman:.2f}" for row in ran[::-1].itertuples()
    )
    return Drawing(figure, title, f"Mean Jaccard index and rank correlation: {means}.", table)


@styled
def convergence_curves(table: pd.DataFrame) -> Drawing:
    """Draw the best fitness so far against the rows spent, one panel a method.

    Args:
        table: of one network, as `convergence.summary` makes it.
    """
    if table.empty:
        raise ValueError("table must hold at least one curve, got none.")
    names = sorted(set(table["method"]))
    figure = Figure(figsize=(0.8 + 2.6 * len(names), 3.2), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        line = table[table["method"] == name].sort_values("generation")
        label = "best subset so far, and its interval"
        axes.plot(line["rows"], line["best"], color=COLOURS[0], lw=1.6, label=label)
        band: dict[str, Any] = {"color": COLOURS[0], "alpha": 0.2, "lw": 0}
        axes.fill_between(line["rows"], line["low"], line["high"], **band)
        axes.axhline(line["whole"].iloc[0], color=GREY, ls="--", lw=1.3, label="whole image")
        axes.set_title(shorten(name))
        axes.set_xlabel("forward rows per image")
    panels[0].set_ylabel("fitness")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)

    place = table.iloc[0]
    title = f"Convergence of the evolution, {place['dataset']} ({place['model']})"
    last = table.sort_values("generation").groupby("method").last()
    ends = "; ".join(
        f"{name} {row['best']:.3f} after {row['rows']:.0f} rows" for name, row in last.iterrows()
    )
    return Drawing(figure, title, f"Fitness at the end: {ends}.", table)

"""What the numbers say, written by rule; each function speaks about one network."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.studies.budget.convergence import rows_for
from gpex_bench.studies.budget.plan import OWN_COST, Budget
from gpex_bench.tables.order import groups, records
from gpex_bench.tables.words import interval, number

CLAIM = 10  # times faster than LIME: wang2022explaining says so of E-LIME


def all_of(
    tables: Sequence[pd.DataFrame], plan: Budget, evolutionary: Collection[str]
) -> list[str]:
    """Return the paragraphs on one network; tables: curves, needs, stability, convergence of that network."""
    curve, needed, stable, converging = tables
    said = [
        rows_needed(needed, curve, plan),
        own_costs(curve, plan),
        speed(needed, plan),
        claim(needed, evolutionary, plan),
    ]
    return [text for text in (*said, stability(stable, plan), convergence(converging)) if text]


def rows_needed(needed: pd.DataFrame, curve: pd.DataFrame, plan: Budget) -> str:
    """Say how many rows each method needs to reach the reference."""
    at = (curve["method"] == plan.reference_method) & (curve["budget"] == plan.reference_budget)
    goal = records(curve[at])[0]
    where = f"{goal['dataset']}, {goal['model']}: "
    if goal["status"] != "ok":
        return f"{where}{plan.reference_method} failed with {plan.reference_budget} evaluations, so there is nothing to reach."
    mean, ends = interval(goal["mean"], goal["low"], goal["high"])
    found = needed[np.isfinite(needed["needed"])].sort_values(["needed", "method"], kind="stable")
    parts = [
        f"{row['method']} {row['needed']:g} {_ends(row, 'needed')}, {row['cpu_seconds']:.3f} s"
        for row in records(found)
    ]
    never = [
        f"{row['method']} ({_best(curve, row['method'])})"
        for row in records(needed[np.isinf(needed["needed"])])
    ]
    text = (
        f"{where}with {plan.reference_budget} evaluations {plan.reference_method} scores {mean} {ends} "
        f"({goal['n_samples']:.0f} images, training seeds: {goal['n_seeds']:.0f}; {goal['cpu_seconds']:.3f} CPU "
        f"seconds an image). Within {plan.tolerance:.0%} of it with: {'; '.join(parts) or 'none of the budgets'}."
    )
    if never:
        text += f" Not reached with any budget tried (best score): {', '.join(never)}."
    failed = records(needed[needed["needed"].isna()])
    return text + "".join(f" {row['method']} has no scores ({row['reason']})." for row in failed)


def _ends(row: dict[str, Any], name: str) -> str:
    """Write the interval of a budget; an infinite end is one that no budget tried reaches."""
    low, high = (
        f"{end:g}" if np.isfinite(end) else "not reached"
        for end in (row[f"{name}_low"], row[f"{name}_high"])
    )
    return f"[{low}, {high}]"


def _best(curve: pd.DataFrame, method: str) -> str:
    """Write the best score of a method and the budget at which it has it."""
    ran = curve[(curve["method"] == method) & (curve["status"] == "ok")]
    best = max(records(ran), key=lambda row: float(row["mean"]))
    return f"{number(best['mean'])} at {best['budget']}"


def own_costs(curve: pd.DataFrame, plan: Budget) -> str:
    """Say what the methods score that run as they are configured, and which of them reach the reference."""
    at = (curve["method"] == plan.reference_method) & (curve["budget"] == plan.reference_budget)
    goal = float(curve[at]["mean"].iloc[0])
    enough = goal - plan.tolerance * abs(goal)
    own = curve[(curve["budget"] == OWN_COST) & (curve["status"] == "ok")].sort_values(
        "mean", ascending=False
    )
    parts = [
        f"{row['method']} {' '.join(interval(row['mean'], row['low'], row['high']))} "
        f"({row['rows']:g} rows, {row['cpu_seconds']:.3f} s{', reaches it' if row['mean'] >= enough else ''})"
        for row in records(own)
    ]
    return f"At their own cost: {'; '.join(parts)}." if parts else ""


def speed(needed: pd.DataFrame, plan: Budget) -> str:
    """Say how much faster each method is at the budget chosen on half of the samples; nothing without a reference."""
    if needed["chosen"].isna().all():
        return ""
    found = needed[np.isfinite(needed["chosen"])].sort_values(
        ["faster", "method"], ascending=False, kind="stable"
    )
    parts = [
        f"{row['method']} at {row['chosen']:g} is {row['faster']:.1f} times faster "
        f"[{row['faster_low']:.1f}, {row['faster_high']:.1f}], score {row['difference']:+.3f} "
        f"[{row['difference_low']:+.3f}, {row['difference_high']:+.3f}]{_caveat(row)}"
        for row in records(found)
    ]
    none = needed[np.isinf(needed["chosen"])]["method"].tolist()
    text = (
        f"Budget chosen on every other image, score on the other {needed['n_judged'].max():.0f}, time on all, against "
        f"{plan.reference_method}-{plan.reference_budget} (range of the time over parts of the images): "
        f"{'; '.join(parts) or 'none reaches it'}."
    )
    return text + (f" None chosen for {', '.join(none)}." if none and parts else "")


def _caveat(row: dict[str, Any]) -> str:
    return "" if row["keeps"] else " (not shown to stay within the tolerance)"


def claim(needed: pd.DataFrame, evolutionary: Collection[str], plan: Budget) -> str:
    """Say whether an evolutionary explainer is CLAIM times faster at the reference's faithfulness."""
    rows = {row["method"]: row for row in records(needed.dropna(subset="chosen"))}
    own, said = rows.get(plan.reference_method), []
    for name in [name for name in rows if name in evolutionary]:
        row = rows[name]
        if not np.isfinite(row["chosen"]):
            said.append(f"no budget tried brings {name} there")
            continue
        holds = row["keeps"] and row["faster_low"] >= CLAIM
        text = f"for {name} it {'holds' if holds else 'does not hold'}: {row['faster']:.1f} times{_caveat(row)}"
        if own is not None and np.isfinite(own["chosen"]):
            text += f", {row['faster'] / own['faster']:.1f} times against {plan.reference_method}-{own['chosen']:g}"
        said.append(text)
    goal = f"{plan.reference_method}-{plan.reference_budget}"
    return (
        f'"{CLAIM} times faster than LIME" at the faithfulness of {goal}: {"; ".join(said)}.'
        if said
        else ""
    )


def stability(table: pd.DataFrame, plan: Budget) -> str:
    """Say how much the maps agree between seeds."""
    ran = table[table["status"] == "ok"].sort_values(
        ["jaccard", "method"], ascending=False, kind="stable"
    )
    parts = [
        f"{row['method']}{_other(row['budget'], plan)} {row['jaccard']:.2f}"
        f" [{row['jaccard_low']:.2f}, {row['jaccard_high']:.2f}] and "
        f"{row['spearman']:.2f} [{row['spearman_low']:.2f}, {row['spearman_high']:.2f}]"
        for row in records(ran)
    ]
    text = (
        f"Stability over {plan.stability_seeds} explainer seeds at {plan.stability_budget} evaluations, all pairs of "
        f"runs on {ran['n_samples'].max():.0f} images; Jaccard index of the top {plan.top:.0%} of the positions, and "
        f"rank correlation: {'; '.join(parts)}."
    )
    failed = records(table[table["status"] != "ok"])
    return text + "".join(f" {row['method']} could not be run ({row['reason']})." for row in failed)


def _other(budget: int, plan: Budget) -> str:
    """Name a budget that is not the one of the others."""
    return "" if budget in (OWN_COST, plan.stability_budget) else f" (at {budget})"


def convergence(table: pd.DataFrame) -> str:
    """Say how soon the evolution is over."""
    parts = []
    for (method,), part in groups(table, ["method"]):
        first, *_, last = records(part.sort_values("generation"))
        half, most = (f"{rows_for(part, share):.0f}" for share in (0.5, 0.95))
        parts.append(
            f"{method} goes from a fitness of {number(first['best'])} in the first generation to "
            f"{' '.join(interval(last['best'], last['low'], last['high']))} after {last['rows']:.0f} rows (the whole "
            f"image: {number(last['whole'])}), half of the way after {half} and 95 % after {most}"
        )
    return f"Convergence (mean of the best subset so far): {'; '.join(parts)}." if parts else ""

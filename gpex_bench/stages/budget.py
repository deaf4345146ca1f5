"""What every method gave at every budget → tables, figures and sentences."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd

from gpex_bench.budget_plan import BudgetPlan
from gpex_bench.budget_study import convergence, faithfulness, sentences, stability
from gpex_bench.plots import Drawing
from gpex_bench.plots.budget import convergence_curves, faithfulness_curves, stability_dots

PROTOCOL = (
    "The score is {metric}; evaluations are forward rows per image, counted, and in rows a backward row counts as two. "
    "A method reaches the reference at the first budget tried whose mean score is within {tolerance:.0%} of it. "
    "Intervals are 95 % (bootstrap over the images, training seeds averaged first); those of a number of evaluations "
    "name budgets. Seconds are CPU seconds of the explaining process with one thread, measured on thirds of the "
    "images: they are not the same in two runs. E-LIME is our reconstruction. Written by rule from needs.csv, "
    "curves.csv, stability.csv and convergence.csv."
)


@dataclass(frozen=True)
class Found:
    """What the study found."""

    tables: dict[str, pd.DataFrame]  # needs (the answer), curves, stability, convergence
    drawings: dict[str, Drawing]  # by "dataset_model_figure"
    sentences: str


def budget(parts: Mapping[str, pd.DataFrame], plan: BudgetPlan, metric: str, evolutionary: Collection[str]) -> Found:
    """Return what all methods together say.

    Args:
        parts: runs, scores, seconds, stability, convergence of all networks and methods (`stages.spend`).
        plan: of the study.
        metric: run id of the score.
        evolutionary: run ids of the methods that "ten times faster than LIME" is about.
    """
    curves = faithfulness.curves(parts["scores"], parts["runs"], parts["seconds"])
    tables = {
        "needs": faithfulness.needs(parts["scores"], curves, parts["seconds"], plan),
        "curves": curves,
        "stability": stability.summary(parts["stability"]),
        "convergence": convergence.summary(parts["convergence"]),
    }
    drawings, said = {}, []
    for place, curve in curves.groupby(["dataset", "model"], sort=True):
        here = {name: table[(table[["dataset", "model"]] == list(place)).all(axis=1)] for name, table in tables.items()}
        name = "_".join(map(str, place))
        drawings[f"{name}_faithfulness"] = faithfulness_curves(curve, plan, metric)
        drawings[f"{name}_stability"] = stability_dots(here["stability"], plan)
        if len(here["convergence"]):
            drawings[f"{name}_convergence"] = convergence_curves(here["convergence"])
        ordered = [here[part] for part in ("curves", "needs", "stability", "convergence")]
        said += sentences.all_of(ordered, plan, evolutionary)
    how = PROTOCOL.format(metric=metric, tolerance=plan.tolerance)
    return Found(tables, drawings, "\n\n".join([*said, how]) + "\n")

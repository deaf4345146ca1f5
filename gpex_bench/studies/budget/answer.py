"""What every method gave at every budget → tables, figures and sentences."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from gpex_bench.plots import Drawing
from gpex_bench.studies.answer import Answer
from gpex_bench.studies.budget import convergence, faithfulness, sentences, stability
from gpex_bench.studies.budget.figure import convergence_curves, faithfulness_curves, stability_dots
from gpex_bench.studies.budget.plan import Budget
from gpex_bench.tables.order import ordered

PROTOCOL = (
    "The score is {metric}; evaluations are forward rows per image, counted, and in rows a backward row counts as two. "
    "A method reaches the reference at the first budget tried whose mean score is within {tolerance:.0%} of it. "
    "Intervals are 95 % (bootstrap over the images, training seeds averaged first); those of a number of evaluations "
    "name budgets. Seconds are CPU seconds of the explaining process with one thread, measured on thirds of the "
    "images: they are not the same in two runs. E-LIME is our reconstruction. Written by rule from table.csv, "
    "curves.csv, stability.csv and convergence.csv."
)


def budget(
    parts: Mapping[str, pd.DataFrame], plan: Budget, metric: str, evolutionary: Collection[str]
) -> Answer:
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
    drawings: dict[str, Drawing] = {}
    said: list[str] = []
    for place, curve in curves.groupby(["dataset", "model"], sort=True):
        here = {
            name: table[(table[["dataset", "model"]] == list(place)).all(axis=1)]
            for name, table in tables.items()
        }
        name = "_".join(map(str, place))
        drawings[f"{name}_faithfulness"] = faithfulness_curves(curve, plan, metric)
        drawings[f"{name}_stability"] = stability_dots(here["stability"], plan)
        if len(here["convergence"]):
            drawings[f"{name}_convergence"] = convergence_curves(here["convergence"])
        parts_here = [here[part] for part in ("curves", "needs", "stability", "convergence")]
        said += sentences.all_of(parts_here, plan, evolutionary)
    how = PROTOCOL.format(metric=metric, tolerance=plan.tolerance)
    sentences_page = "\n\n".join([*said, how]) + "\n"
    table = ordered(tables.pop("needs"))
    others = {name: ordered(part) for name, part in tables.items()}
    return Answer(table=table, tables=others, drawings=drawings, sentences=sentences_page)

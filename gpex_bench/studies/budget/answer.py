"""Measurements of every method at every budget → tables, figures and the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from gpex_bench.plots import Drawing
from gpex_bench.studies.answer import Answer, page
from gpex_bench.studies.budget import convergence, faithfulness, figure, stability, verdicts
from gpex_bench.studies.budget.plan import Budget
from gpex_bench.tables.columns import NETWORK
from gpex_bench.tables.order import ordered


def answer(
    parts: Mapping[str, pd.DataFrame], plan: Budget, metric: str, evolutionary: Collection[str]
) -> Answer:
    """Answer how many evaluations each explainer needs.

    Args:
        parts: runs, scores, seconds, stability, convergence of all networks and methods.
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
    networks = []
    for place, _ in curves.groupby(list(NETWORK), sort=True):
        here = {name: _on(table, place) for name, table in tables.items()}
        stem = "_".join(map(str, place))
        drawings |= _drawings(here, stem, plan, metric)
        networks.append({"stem": stem, **_verdicts(here, plan, evolutionary)})

    text = page(
        "budget",
        plan=plan,
        metric=metric,
        networks=networks,
        verdicts=verdicts,
        most=convergence.MOST,
    )
    table = ordered(tables.pop("needs"))
    others = {name: ordered(part) for name, part in tables.items()}
    return Answer(table=table, tables=others, drawings=drawings, sentences=text)


def _on(table: pd.DataFrame, place: tuple[Any, ...]) -> pd.DataFrame:
    """Return the rows of one network."""
    return table[(table[list(NETWORK)] == list(place)).all(axis=1)]


def _drawings(
    tables: Mapping[str, pd.DataFrame], stem: str, plan: Budget, metric: str
) -> dict[str, Drawing]:
    """Return the figures of one network; there is no convergence without an evolutionary method."""
    drawings = {
        f"{stem}_faithfulness": figure.faithfulness_curves(tables["curves"], plan, metric),
        f"{stem}_stability": figure.stability_dots(tables["stability"], plan),
    }
    if len(tables["convergence"]):
        drawings[f"{stem}_convergence"] = figure.convergence_curves(tables["convergence"])
    return drawings


def _verdicts(
    tables: Mapping[str, pd.DataFrame], plan: Budget, evolutionary: Collection[str]
) -> dict[str, Any]:
    """Return the frames of the page about one network, in which everything is decided."""
    curves, needs = tables["curves"], tables["needs"]
    by_stability = tables["stability"].sort_values(
        ["jaccard", "method"], ascending=False, kind="stable"
    )
    return {
        "goal": verdicts.reference(curves, plan),
        "reach": verdicts.reach(needs, curves),
        "own_costs": verdicts.own_costs(curves, plan),
        "chosen": verdicts.chosen(needs),
        "claims": verdicts.claims(needs, evolutionary, plan),
        "stability": by_stability,
        "convergence": convergence.ends(tables["convergence"]),
    }

# ruff: noqa: I001 - the tests copy this folder into the package
"""Accuracies → table, figure and page."""

import pandas as pd

from gpex_bench.studies.answer import Answer, page
from gpex_bench.studies.toy.figure import draw_accuracies
from gpex_bench.studies.toy.measure import measure
from gpex_bench.studies.toy.plan import Toy


def answer(accuracies: pd.DataFrame, plan: Toy) -> Answer:
    """Return how accurate the networks are."""
    table = measure(accuracies)
    rows = table.assign(is_good=table["accuracy"] >= plan.good)
    return Answer(
        table=table,
        drawings={"figure": draw_accuracies(table)},
        sentences=page("toy", plan=plan, rows=rows),
    )

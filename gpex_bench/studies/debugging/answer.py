"""Curves of repaired labels → tables, figures and sentences."""

from __future__ import annotations

import pandas as pd

from gpex_bench.plots import Drawing
from gpex_bench.studies.answer import Answer
from gpex_bench.studies.debugging.figure import debugging_curves
from gpex_bench.studies.debugging.outcome import MEASURES, PLACE, compared, sentences, summary
from gpex_bench.studies.debugging.plan import Debugging
from gpex_bench.tables.order import ordered

PROTOCOL = (
    "{share:.0%} of the training labels of {first} and of {second} are swapped. A misclassified test sample is taken, "
    "and the training sample that the ranking puts first and that has not been shown is shown, its label corrected. "
    "After every {per_round} shown samples the network is trained again, from the same initial weights. As in the "
    "paper, the test labels decide which test samples are asked about, and the accuracy is measured on the same test "
    "samples: it is no estimate for new data. Both numbers are means over the {rounds} trainings after the first. "
    "Intervals of the comparison with random hold together at 95 % for all rankings of a number (paired by training, "
    "Bonferroni). Written by rule from table.csv."
)


def debugging(curves: pd.DataFrame, plan: Debugging) -> Answer:
    """Return what all trainings together say.

    Args:
        curves: dataset, model, seed, ranking, shown, found, accuracy, n_train; one row per training of a network.
        plan: of the experiment.
    """
    means, table = summary(curves), compared(curves)
    drawings: dict[str, Drawing] = {}
    sizes = curves.groupby(list(PLACE))["n_train"].first().to_dict()
    for place, part in means.groupby(list(PLACE), sort=False):
        drawings["_".join(map(str, place))] = debugging_curves(part, int(sizes[place]))
    how = PROTOCOL.format(
        share=plan.flipped,
        first=repr(plan.classes[0]),
        second=repr(plan.classes[1]),
        per_round=plan.per_round,
        rounds=plan.rounds,
    )
    said = sentences(table)
    if len(said) != len(drawings) * len(MEASURES):
        raise ValueError(
            f"Every network and measure gets a sentence, got {len(said)} for {len(drawings)} networks."
        )
    return Answer(
        table=ordered(table),
        tables={"curves": ordered(means)},
        drawings=drawings,
        sentences="\n\n".join([*said, how]) + "\n",
    )

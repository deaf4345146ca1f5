"""Explanations that the first screen names → one figure of a few maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from gpex_bench import plots
from gpex_bench.plots import Contrast, Drawing, Example
from gpex_bench.report import cases, headline, sections, telling
from gpex_bench.report.headline import Network
from gpex_bench.stages.draw.galleries import ranked
from gpex_bench.stages.draw.shown import Shown
from gpex_bench.statistics.outcomes import cost_summary
from gpex_bench.tables.columns import COSTS
from gpex_bench.tables.order import Record, control_ids
from gpex_bench.types import Attribution

# Networks in the figure.
N_NETWORKS = 3

# File stem, section of the report, dataset, drawing.
Figures = Iterator[tuple[str, str, str, Drawing]]


def chosen(
    tables: Mapping[str, pd.DataFrame],
    methods: Sequence[Record],
    metrics: Sequence[Record],
    metric: str,
    datasets: Sequence[Record],
) -> dict[Network, dict[str, str]]:
    """Return for each network with images which methods are shown, and why (`report.telling`).

    Args:
        tables: "outcomes" and "cells"; those of the headline where there are some.
        methods: cards.
        metrics: cards.
        metric: run id of the headline metric.
        datasets: cards.
    """
    outcomes = tables["outcomes"]
    better = next(card["higher_is_better"] for card in metrics if card["metric"] == metric)
    costs = cost_summary(tables["cells"], outcomes, metric, better, control_ids(methods))
    rows = sections.cost_table(costs, pd.DataFrame(columns=list(COSTS)), tables["cells"])

    known = headline.read(tables, metric)
    inputs = cases.Inputs(
        headline=known,
        methods=methods,
        costs=cases.costs_of(rows),
        kinds=cases.kinds_of(datasets),
    )
    return telling.telling(cases.answers(inputs), known, outcomes, methods, metrics)


def contrasted(
    shown: Shown,
    whys: Mapping[str, str],
    scores: pd.DataFrame,
    metric: str,
    methods: Sequence[Record],
) -> Contrast | None:
    """Return one image of a network with the maps that are shown; None without a map.

    It is the image with the median headline score, the mean over the methods.
    """
    order = ranked(shown, scores, metric, control_ids(methods))
    row = order[len(order) // 2]
    maps = {
        name: shown.explanations[name]
        for name in whys
        if isinstance(shown.explanations.get(name), Attribution)
    }
    if not maps:
        return None

    examples = [
        Example(why=whys[name], method=name, values=one.values[row].numpy())
        for name, one in maps.items()
        if isinstance(one, Attribution)
    ]
    return Contrast(
        name=shown.name,
        label=shown.predicted(row),
        image=shown.query.x[row].numpy(),
        examples=examples,
    )


def draw_contrasts(rows: Sequence[Contrast]) -> Figures:
    """Draw the images of a few networks, those with planted evidence first."""
    if not rows:
        return

    def has_no_evidence(row: Contrast) -> bool:
        return all(example.why != telling.EVIDENCE for example in row.examples)

    first = sorted(rows, key=has_no_evidence)[:N_NETWORKS]
    yield "contrast", "contrast", "", plots.contrast(first)

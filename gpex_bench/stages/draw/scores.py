"""Tables → figures of scores: dots, removal curves, cost, and how alike metrics are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import pandas as pd

from gpex_bench import plots
from gpex_bench.plots import Drawing
from gpex_bench.report import headline as headline_tables
from gpex_bench.report.ranking import best_first
from gpex_bench.stages.draw.agreement import draw_agreement
from gpex_bench.statistics.outcomes import cost_summary
from gpex_bench.tables.columns import NETWORK
from gpex_bench.tables.order import Record, control_ids, groups, main_curves, metric_order

# Scored by two metrics, below which their rank correlation is not informative.
N_METHODS = 5

# Methods in the first figure of dots, besides the controls.
N_DOTS = 12

# File stem, section of the report, dataset, drawing.
Figures = Iterator[tuple[str, str, str, Drawing]]


def draw_tables(
    tables: Mapping[str, pd.DataFrame],
    methods: Sequence[Record],
    metrics: Sequence[Record],
    headline: str,
) -> Figures:
    """Draw what the tables say: dots, removal curves, cost, agreement.

    Args:
        tables: "outcomes", "cells", "curves", "agreement", "predictions"; "headline" where
            there is one.
        methods: cards of the methods.
        metrics: cards of the metrics.
        headline: run id of the metric that the verdict is about.
    """
    outcomes, curves = tables["outcomes"], main_curves(tables["curves"])
    better = next(record["higher_is_better"] for record in metrics if record["metric"] == headline)
    controls = control_ids(methods)
    cost = cost_summary(tables["cells"], outcomes, headline, better, controls)

    yield from _dots(tables, methods, headline)
    for dataset, model in sorted(set(zip(outcomes["dataset"], outcomes["model"], strict=True))):
        own_curves, own_cost = _of(curves, dataset, model), _of(cost, dataset, model)
        if len(own_curves):
            drawing = plots.removal_curves(own_curves, methods)
            yield f"removal_{dataset}_{model}", "removal", dataset, drawing
        if len(own_cost):
            drawing = plots.cost_against_score(own_cost, better)
            yield f"cost_{dataset}_{model}", "cost", dataset, drawing

    between = between_metrics(outcomes, methods, metrics, headline)
    if len(between):
        measures = {record["metric"]: record["measures"] for record in metrics}
        order = metric_order(outcomes, metrics, headline)
        title = "How alike the metrics rank the methods"
        drawing = plots.metric_agreement(between, measures, order, title)
        yield "metric_agreement", "metric_agreement", "", drawing
    yield from draw_agreement(tables, methods)


def _dots(tables: Mapping[str, pd.DataFrame], methods: Sequence[Record], metric: str) -> Figures:
    """Draw the headline score of the first methods and the controls, then of all of them."""
    known = headline_tables.read(tables, metric)
    order = best_first(known, methods)
    if not order:
        return

    table = tables["headline"]
    places = pd.MultiIndex.from_frame(table[list(NETWORK)])
    own = table[table["metric"].eq(metric) & places.isin(known.networks)]
    controls = control_ids(methods)
    ours = [name for name in order if name not in controls]
    some = [name for name in order if name in controls or name in ours[:N_DOTS]]
    if len(some) < len(order):
        yield "dots", "dots", "", plots.headline_dots(own, some, metric)
        yield "dots_all", "dots_all", "", plots.headline_dots(own, order, metric)
    else:
        yield "dots", "dots", "", plots.headline_dots(own, order, metric)


def _of(frame: pd.DataFrame, dataset: str, model: str) -> pd.DataFrame:
    """Return the rows of one network."""
    return frame[(frame["dataset"] == dataset) & (frame["model"] == model)]


def between_metrics(
    outcomes: pd.DataFrame, methods: Sequence[Record], metrics: Sequence[Record], headline: str
) -> pd.DataFrame:
    """Return Spearman's rank correlation of every two metrics over the methods.

    It is the mean over networks; directions are respected. Controls are left out (they are easy to
    rank below the rest, and would make any two metrics look alike), and so are networks on which
    the two have fewer than `N_METHODS` methods in common.
    """
    sign = {record["metric"]: 1 if record["higher_is_better"] else -1 for record in metrics}
    is_control = outcomes["method"].isin(list(control_ids(methods)))
    scored = outcomes[(outcomes["state"] == "ok") & ~is_control]
    # Without any score the column of signs would be one of text.
    direction = scored["metric"].map(sign).astype(float)
    scored = scored.assign(good=scored["mean"] * direction)

    order = metric_order(outcomes, metrics, headline)
    rows = []
    for _, part in groups(scored, NETWORK):
        wide = part.pivot(index="method", columns="metric", values="good")
        table = wide.corr("spearman", min_periods=N_METHODS)
        present = [name for name in order if name in table]
        for first, second in combinations(present, 2):
            rows.append((first, second, table.loc[first, second]))

    pairs = pd.DataFrame(rows, columns=["metric", "other", "correlation"]).dropna()
    by_pair = pairs.groupby(["metric", "other"])["correlation"]
    summary = by_pair.agg(["mean", "size"]).reset_index()
    return summary.rename(columns={"mean": "correlation", "size": "n_networks"})

"""Tables → figures of scores: who is told from whom, removal curves, cost, and how alike metrics are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from gpex_bench import plots
from gpex_bench.plots import Drawing
from gpex_bench.stages.draw.agreement import draw_agreement
from gpex_bench.statistics.outcomes import cost_summary
from gpex_bench.tables.order import Record, control_ids, groups, main_curves, metric_order

N_METHODS = 5  # scored by two metrics, below which their rank correlation says nothing
Figures = Iterator[
    tuple[str, str, str, Drawing]
]  # file stem, section of the report, dataset, drawing


def draw_tables(
    tables: Mapping[str, pd.DataFrame],
    methods: Sequence[Record],
    metrics: Sequence[Record],
    headline: str,
) -> Figures:
    """Draw what the tables say: ranks, removal curves, cost, agreement.

    Args:
        tables: "outcomes", "cells", "curves", "agreement", "predictions"; "ranking" and "overall" where there are some.
        methods: cards of the methods.
        metrics: cards of the metrics.
        headline: run id of the metric that the verdict is about.
    """
    outcomes, curves = tables["outcomes"], main_curves(tables["curves"])
    better = next(record["higher_is_better"] for record in metrics if record["metric"] == headline)
    ours = control_ids(methods)
    cost = cost_summary(tables["cells"], outcomes, headline, better, ours)
    yield from _ranks(tables, ours, headline)
    for dataset, model in sorted(set(zip(outcomes["dataset"], outcomes["model"], strict=True))):
        here = {"dataset": dataset, "model": model}
        if len(_at(curves, here)):
            drawing = plots.removal_curves(_at(curves, here), methods)
            yield f"removal_{dataset}_{model}", "removal", dataset, drawing
        if len(_at(cost, here)):
            yield (
                f"cost_{dataset}_{model}",
                "cost",
                dataset,
                plots.cost_against_score(_at(cost, here), better),
            )
    between = between_metrics(outcomes, methods, metrics, headline)
    if len(between):
        measures = {record["metric"]: record["measures"] for record in metrics}
        order = metric_order(outcomes, metrics, headline)
        title = "How alike the metrics rank the methods"
        yield (
            "metric_agreement",
            "metric_agreement",
            "",
            plots.metric_agreement(between, measures, order, title),
        )
    yield from draw_agreement(tables, methods)


def _ranks(tables: Mapping[str, pd.DataFrame], controls: frozenset[str], headline: str) -> Figures:
    """Draw critical differences by the headline metric: over all networks, then of each."""
    overall, ranking = tables.get("overall"), tables.get("ranking")
    if overall is not None and len(chosen := overall[overall["metric"] == headline]):
        title = f"Mean ranks by {headline} over {chosen['n_networks'].max()} networks"
        yield (
            "ranks_overall",
            "ranks_overall",
            "",
            plots.critical_difference(chosen, controls, title),
        )
    if ranking is None:
        return
    for (dataset, model), part in groups(
        ranking[ranking["metric"] == headline], ["dataset", "model"]
    ):
        title = f"Mean ranks by {headline} on {dataset} ({model})"
        yield (
            f"ranks_{dataset}_{model}",
            "ranks",
            dataset,
            plots.critical_difference(part, controls, title),
        )


def _at(frame: pd.DataFrame, key: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows with this key."""
    return frame[np.logical_and.reduce([frame[name] == wanted for name, wanted in key.items()])]


def between_metrics(
    outcomes: pd.DataFrame, methods: Sequence[Record], metrics: Sequence[Record], headline: str
) -> pd.DataFrame:
    """Return Spearman's rank correlation of every two metrics over the methods, the mean over networks.

    Controls are left out (telling them from the rest is easy, and would make any two metrics look alike), and so are
    networks on which the two have fewer than `N_METHODS` methods in common. Directions are respected.
    """
    up = {record["metric"]: 1 if record["higher_is_better"] else -1 for record in metrics}
    scored = outcomes[
        (outcomes["state"] == "ok") & ~outcomes["method"].isin(list(control_ids(methods)))
    ]
    scored = scored.assign(good=scored["mean"] * scored["metric"].map(up))
    order = metric_order(outcomes, metrics, headline)
    found = []
    for _, part in groups(scored, ["dataset", "model"]):
        wide = part.pivot(index="method", columns="metric", values="good")
        table = wide.corr("spearman", min_periods=N_METHODS)
        present = [name for name in order if name in table]
        found += [
            (first, second, table.loc[first, second])
            for place, first in enumerate(present)
            for second in present[place + 1 :]
        ]
    pairs = pd.DataFrame(found, columns=["metric", "other", "correlation"]).dropna()
    mean = pairs.groupby(["metric", "other"])["correlation"].agg(["mean", "size"]).reset_index()
    return mean.rename(columns={"mean": "correlation", "size": "n_networks"})

"""Cells → the tables that the figures and the report are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gpex_bench import statistics
from gpex_bench.measurements.curves import CurveMetric
from gpex_bench.plugins.cards import metric_card
from gpex_bench.stages.curves import Recorded, summarise_curves
from gpex_bench.statistics.outcomes import agreement_summary, outcome_table, summarise
from gpex_bench.statistics.units import scale_of
from gpex_bench.tables.columns import (
    AGREEMENT,
    CELLS,
    COSTS,
    NETWORK,
    PLACE,
    PREDICTIONS,
    SCORES,
    SKIPPED,
    SURROGATE_COSTS,
    SURROGATES,
)
from gpex_bench.tables.order import Record, control_ids, ordered
from gpex_bench.tables.render import csv, latex, markdown, wide
from gpex_bench.types import Metric


@dataclass(frozen=True)
class Tables:
    """Everything a run found, as long tables; only `costs` has measured seconds and bytes."""

    scores: pd.DataFrame
    curves: pd.DataFrame  # means over samples
    # Of the headline, if it summarises curves, under every fill and output.
    variant_scores: pd.DataFrame
    # Which fills show the same on a network, and count once.
    fills: pd.DataFrame
    cells: pd.DataFrame
    skipped: pd.DataFrame
    outcomes: pd.DataFrame
    agreement: pd.DataFrame
    predictions: pd.DataFrame
    costs: pd.DataFrame
    networks: pd.DataFrame
    surrogates: pd.DataFrame
    surrogate_costs: pd.DataFrame
    conclusions: Mapping[str, pd.DataFrame]  # by name (`statistics.TABLES`)


def stack(parts: Iterable[pd.DataFrame], columns: Iterable[str]) -> pd.DataFrame:
    """Return the parts below one another, in the order of their keys; maybe an empty table."""
    full = [part for part in parts if len(part)]
    return ordered(
        pd.concat(full, ignore_index=True) if full else pd.DataFrame(columns=list(columns))
    )


def _kept(scores: pd.DataFrame, skipped: pd.DataFrame) -> pd.DataFrame:
    """Return the scores without those of a metric that failed on another seed.

    A mean over some of the seeds would mislead.
    """
    place = ["dataset", "model", "method", "metric"]
    failed = pd.MultiIndex.from_frame(skipped[place])
    return scores[~pd.MultiIndex.from_frame(scores[place]).isin(failed)].reset_index(drop=True)


def _summary(
    scores: pd.DataFrame,
    known: Sequence[Record],
    methods: Sequence[Record],
    found: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """Return the means of all methods, with marks where a metric orders them."""
    judged = found["informative"]
    unusable = judged.loc[~judged["is_informative"].astype(bool), list(PLACE)]
    blank = set(unusable.itertuples(index=False, name=None))
    left_out = statistics.informative.left_out(judged, found["faithful"])

    scales = {record["metric"]: scale_of(record) for record in known}
    return summarise(scores, scales, control_ids(methods), blank, left_out)


def aggregate(  # noqa: PLR0913 - keyword-only
    parts: dict[str, list[pd.DataFrame]],
    recorded: Iterable[Recorded],
    records: dict[str, list[dict[str, Any]]],
    metrics: dict[str, Metric],
    methods: Sequence[Record],
    *,
    headline: str,
) -> Tables:
    """Join what the cells wrote.

    Args:
        parts: tables of single cells under "scores", "agreement" and "predictions".
        recorded: the removal curves of every cell; the metrics that summarise curves are computed
            from them here.
        records: "cells": one per network, seed and method, also where it does not apply;
            "skipped": one per network, method and metric that have no score, with the reason;
            "costs": measured, one per cell; "networks": accuracies and kind of data, one per
            network and seed; "surrogates" and "surrogate_costs": status and cost of each fit.
        metrics: by run id.
        methods: a card of each method, with the roles of the controls.
        headline: run id of the metric that says who leads; its variants are kept sample by sample.
    """
    of_curves = {name: one for name, one in metrics.items() if isinstance(one, CurveMetric)}
    summaries = summarise_curves(of_curves, recorded, headline)
    without = stack([pd.DataFrame(records["skipped"]), summaries.unscored], SKIPPED)
    without = without.drop_duplicates([*NETWORK, "method", "metric"], ignore_index=True)
    scores = _kept(stack([*parts["scores"], summaries.scores], SCORES), without)
    cells = stack([pd.DataFrame(records["cells"])], CELLS)
    known = [metric_card(name, metric) for name, metric in metrics.items()]
    kinds = {row["dataset"]: row["data"] for row in records["networks"]}
    found = statistics.conclude(
        scores,
        summaries.variants,
        methods,
        known,
        headline,
        kinds=kinds,
        other_variants=summaries.variant_means,
    )
    summary = _summary(scores, known, methods, found)
    return Tables(
        scores=scores,
        curves=summaries.means,
        variant_scores=summaries.variants,
        fills=summaries.fills,
        cells=cells,
        skipped=without,
        outcomes=outcome_table(summary, cells, without, metrics),
        agreement=stack(parts["agreement"], AGREEMENT),
        predictions=stack(parts["predictions"], PREDICTIONS),
        costs=stack([pd.DataFrame(records["costs"])], COSTS),
        networks=stack([pd.DataFrame(records["networks"])], ["dataset", "model", "seed"]),
        surrogates=stack([pd.DataFrame(records["surrogates"])], SURROGATES),
        surrogate_costs=stack([pd.DataFrame(records["surrogate_costs"])], SURROGATE_COSTS),
        conclusions=found,
    )


def texts(
    tables: Tables,
    methods: Sequence[Record],
    metrics: Sequence[Record],
    headline: str,
) -> dict[str, str]:
    """Return the tables that people read, by file name.

    CSV, and Markdown and LaTeX for each network.
    """
    plain = ("outcomes", "cells", "skipped", "networks", "surrogates", "fills")
    found = {f"{name}.csv": csv(getattr(tables, name)) for name in plain}
    found |= {f"{name}.csv": csv(table) for name, table in tables.conclusions.items()}
    found["agreement.csv"] = csv(
        agreement_summary(tables.agreement) if len(tables.agreement) else tables.agreement
    )
    for (dataset, model), table in wide(tables.outcomes, methods, metrics, headline).items():
        caption = (
            f"Scores on {dataset} ({model}): mean and 95 % interval. "
            "Bold: best; equals sign: tied with the best."
        )
        found[f"scores_{dataset}_{model}.md"] = markdown(table)
        found[f"scores_{dataset}_{model}.tex"] = latex(table, caption, f"tab:{dataset}-{model}")
    return found

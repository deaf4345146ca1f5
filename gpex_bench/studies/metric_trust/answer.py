"""Scores under perturbations → which metrics can be trusted."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from gpex_bench.studies.answer import Answer, page
from gpex_bench.studies.metric_trust.consistency import PARTS, WHOLE, meta_consistency
from gpex_bench.studies.metric_trust.figure import trust_dots
from gpex_bench.studies.metric_trust.plan import MetricTrust
from gpex_bench.tables.order import ordered
from gpex_bench.types import Metric


def answer(  # noqa: PLR0913 - keyword-only
    scores: pd.DataFrame,
    perturbed: pd.DataFrame,
    *,
    plan: MetricTrust,
    metrics: Mapping[str, Metric],
    n_samples: int,
    n_explained_again: int,
) -> Answer:
    """Answer which metrics can be trusted.

    Args:
        scores: without perturbation, of all networks.
        perturbed: with perturbations, of all networks.
        plan: the study.
        metrics: by run id.
        n_samples: explained samples of each network.
        n_explained_again: those that metrics see which explain again.
    """
    directions = {name: metric.higher_is_better for name, metric in metrics.items()}
    table = meta_consistency(scores, perturbed, directions)
    measures = {name: metric.measures for name, metric in metrics.items()}
    ranking = ranked(table, measures)

    text = page(
        "metric_trust",
        plan=plan,
        ranking=ranking,
        networks=[f"{model} on {dataset}" for dataset, model in _networks(table)],
        methods=sorted(scores["method"].unique()),
        n_samples=n_samples,
        n_explained_again=n_explained_again,
    )
    return Answer(
        table=ordered(table),
        tables={"ranking": ranking},
        drawings={"figure": trust_dots(ranking)},
        sentences=text,
    )


def ranked(table: pd.DataFrame, measures: Mapping[str, str]) -> pd.DataFrame:
    """Return one row for each metric, the one with the largest meta-consistency first.

    `value` is the meta-consistency, the mean over networks and spaces; `network` and `input` are
    those of one space; the other columns are the properties, as means over networks and spaces.
    A metric whose meta-consistency is not known comes last.

    Args:
        table: of `meta_consistency`.
        measures: what each metric measures.
    """
    # networks count alike, and so do the spaces
    by_space = table.groupby(["metric", "property", "space"])["value"].mean()
    properties = by_space.groupby(["metric", "property"]).mean().unstack("property")
    spaces = by_space.unstack("space").reindex(columns=["network", "input"])

    ranking = properties.reindex(columns=[WHOLE, *PARTS])
    ranking = ranking.rename(columns={WHOLE: "value"})
    if WHOLE in by_space.index.get_level_values("property"):
        ranking = ranking.join(spaces.xs(WHOLE, level="property"))
    ranking.insert(0, "measures", ranking.index.map(measures.get))
    ranking = ranking.rename_axis("metric").reset_index()
    return ranking.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def _networks(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return dataset and model of each network, in sorted order."""
    pairs = table[["dataset", "model"]].drop_duplicates().sort_values(["dataset", "model"])
    return list(pairs.itertuples(index=False, name=None))

"""What can be concluded from the scores of a run: rankings, verdicts, which metrics to trust. Frames in, frames out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from gpex_bench.statistics import components, informative, pairs, power, ranking, trust, variants
from gpex_bench.statistics.units import Units, units
from gpex_bench.tables import columns
from gpex_bench.tables.columns import SCORES, VARIANT_SCORES, require
from gpex_bench.tables.order import Record, control_ids

__all__ = ["TABLES", "conclude"]

# The columns of each table.
TABLES = {
    "ranking": columns.RANKING,
    "pairs": columns.PAIRS,
    "overall": columns.OVERALL,
    "informative": columns.INFORMATIVE,
    "variance": columns.VARIANCE,
    "power": columns.POWER,
    "second_opinion": columns.SECOND_OPINION,
    "trust": columns.TRUST,
    "planted": columns.PLANTED,
    "variants": columns.VARIANTS,
    "fill_agreement": columns.FILL_AGREEMENT,
}


def conclude(
    scores: pd.DataFrame,
    variant_scores: pd.DataFrame,
    methods: Sequence[Record],
    metrics: Sequence[Record],
) -> dict[str, pd.DataFrame]:
    """Return the tables named in `TABLES`.

    Pairs of metric and network that are not informative stand in `informative`, `pairs`, `variance` and `trust`, and in
    no ranking.

    Args:
        scores: one row per dataset, model, seed, method, metric, sample (and target); finite.
        variant_scores: the same under every fill and output of the metrics that have some; may be empty.
        methods: a record of each method: its run id ("method"), kind, role and what it changes ("of").
        metrics: a record of each metric: its run id ("metric"), higher_is_better, chance and
            whether it is the share of relevance inside the planted truth ("is_share_of_truth").
    """
    require(scores, SCORES, "scores")
    require(variant_scores, VARIANT_SCORES, "variant_scores")
    known, ours = informative.roles(methods), control_ids(methods)
    up = {record["metric"]: record["higher_is_better"] for record in metrics}
    chance = {record["metric"]: record["chance"] for record in metrics}
    truth = {record["metric"] for record in metrics if record["is_share_of_truth"]}
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    told_by: dict[str, list[Units]] = {}
    for block in units(scores, up, ours):
        told = pairs.compare(block)
        judged = informative.table(block, told, known)
        parts["pairs"].append(pairs.table(block, told))
        parts["informative"].append(judged)
        parts["variance"].append(components.table(block))
        parts["trust"].append(trust.table(block, told, known, chance[block.place[2]]))
        if block.place[2] in truth:
            parts["planted"].append(informative.planted(block, told, known))
        if not judged["is_informative"].all():
            continue
        ranks = ranking.within(block)
        parts["ranking"].append(ranking.table(block, ranks))
        parts["power"].append(power.table(block, told, ranks))
        parts["second_opinion"].append(pairs.second_opinion(block, power.leaders(ranks)))
        told_by.setdefault(block.place[2], []).append(block)
    parts["overall"] = [ranking.overall(every) for every in told_by.values()]
    parts["variants"] = [variants.summarise(variant_scores)]
    parts["fill_agreement"] = [variants.agreement(parts["variants"][0], ours)]
    found = {name: _stack(parts[name], names) for name, names in TABLES.items()}
    found["pairs"]["relation"] = informative.relations(found["pairs"], known)
    return found


def _stack(parts: Sequence[pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    """Return the parts below one another; an empty table if there are none."""
    full = [part for part in parts if len(part)]
    return (
        pd.concat(full, ignore_index=True)[list(names)]
        if full
        else pd.DataFrame(columns=list(names))
    )

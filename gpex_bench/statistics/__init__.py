"""What can be concluded from the scores of a run: rankings, verdicts, which metrics to trust.

Frames in, frames out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from gpex_bench.statistics import (
    components,
    informative,
    overall,
    pairs,
    power,
    ranking,
    trust,
    truth,
    variants,
)
from gpex_bench.statistics import headline as leading
from gpex_bench.statistics.overall import OnNetwork
from gpex_bench.statistics.units import Units, scale_of, units
from gpex_bench.tables import columns
from gpex_bench.tables.columns import SCORES, VARIANT_SCORES, require
from gpex_bench.tables.order import Record, control_ids

__all__ = ["TABLES", "conclude"]

# The columns of each table.
TABLES = {
    "headline": columns.HEADLINE,
    "headline_variants": columns.HEADLINE_VARIANTS,
    "headline_pairs": columns.HEADLINE_PAIRS,
    "ranking": columns.RANKING,
    "pairs": columns.PAIRS,
    "overall": columns.OVERALL,
    "overall_pairs": columns.OVERALL_PAIRS,
    "informative": columns.INFORMATIVE,
    "faithful": columns.FAITHFUL,
    "variance": columns.VARIANCE,
    "power": columns.POWER,
    "families": columns.FAMILIES,
    "trust": columns.TRUST,
    "planted": columns.PLANTED,
    "truth_agreement": columns.TRUTH_AGREEMENT,
    "variants": columns.VARIANTS,
    "fill_agreement": columns.FILL_AGREEMENT,
}


def conclude(  # noqa: PLR0913 - options by keyword
    scores: pd.DataFrame,
    variant_scores: pd.DataFrame,
    methods: Sequence[Record],
    metrics: Sequence[Record],
    headline: str = "",
    *,
    kinds: Mapping[str, str] | None = None,
    other_variants: pd.DataFrame | None = None,
) -> dict[str, pd.DataFrame]:
    """Return the tables named in `TABLES`.

    Pairs of metric and network that are not usable are in `informative`, `pairs`, `families`,
    `power`, `variance` and `trust`, and in nothing that says who is ahead. Metrics that are
    usable among faithful methods order those alone.

    Args:
        scores: one row per dataset, model, seed, method, metric, sample (and target); finite.
        variant_scores: the same under every fill and output of the headline; may be empty.
        methods: a record of each method: its run id ("method"), kind, role and what it changes
            ("of").
        metrics: a record of each metric: its run id ("metric"), what it measures, its direction,
            range, margin, resolution and chance, whether it is the share of relevance inside the
            planted truth ("is_share_of_truth"), and whether a map that looks at nothing can be
            perfect ("blind_can_be_perfect").
        headline: run id of the metric that says who leads; without it nobody does.
        kinds: of data, by dataset: "images" or "tables". Methods that apply to one kind alone are
            compared over its networks.
        other_variants: means of the other metrics under every fill and output (`VARIANTS`).
    """
    require(scores, SCORES, "scores")
    require(variant_scores, VARIANT_SCORES, "variant_scores")
    controls = control_ids(methods)
    known = informative.roles(methods)
    scales = {record["metric"]: scale_of(record) for record in metrics}
    card = {record["metric"]: record for record in metrics}

    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    compared = [(block, pairs.compare(block)) for block in units(scores, scales, controls)]
    parts["truth_agreement"].append(truth.table([block for block, _ in compared], metrics))
    judged, faithful = informative.tables(compared, card, known)
    parts["informative"], parts["faithful"] = [judged], [faithful]
    for block, comparison in compared:
        for name, table in _of_block(block, comparison, known, card[block.place[2]]).items():
            parts[name].append(table)

    ordered = list(_ordered(compared, judged, faithful))
    parts["ranking"] = [ranking.table(block) for block, _ in ordered]
    for name, table in _ahead(ordered, variant_scores, known, headline, kinds or {}):
        parts[name].append(table)

    of_others = [] if other_variants is None else [other_variants]
    variant_means = _stack([variants.summarise(variant_scores), *of_others], columns.VARIANTS)
    parts["variants"] = [variant_means]
    parts["fill_agreement"] = [variants.agreement(variant_means, controls)]

    tables = {name: _stack(parts[name], names) for name, names in TABLES.items()}
    tables["pairs"]["relation"] = informative.relations(tables["pairs"], known)
    return tables


def _of_block(
    block: Units, comparison: pairs.Comparison, known: informative.Roles, record: Record
) -> dict[str, pd.DataFrame]:
    """Return the tables of one network and metric that hold whether it is usable or not."""
    found = {
        "pairs": pairs.table(block, comparison),
        "families": pairs.family_sizes(block),
        "power": power.table(block, comparison),
        "variance": components.table(block),
        "trust": trust.table(block, comparison, known, record["chance"]),
    }
    if record["is_share_of_truth"]:
        found["planted"] = informative.planted(block, comparison, known)
    return found


def _ordered(
    compared: Sequence[tuple[Units, pairs.Comparison]],
    judged: pd.DataFrame,
    faithful: pd.DataFrame,
) -> Iterator[tuple[Units, pairs.Comparison]]:
    """Yield the scores of each usable metric and network, of the methods that the metric orders."""
    left_out = informative.left_out(judged, faithful)
    for (block, comparison), is_usable in zip(compared, judged["is_informative"], strict=True):
        if not is_usable:
            continue

        # Which other methods are compared decides Holm's correction.
        ordered = block.without(left_out.get(block.place, ()))
        yield ordered, comparison if ordered is block else pairs.compare(ordered)


def _ahead(
    ordered: Sequence[tuple[Units, pairs.Comparison]],
    variant_scores: pd.DataFrame,
    known: informative.Roles,
    headline: str,
    kinds: Mapping[str, str],
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the tables that say who is ahead on each network and over networks, with names."""
    networks: dict[str, list[OnNetwork]] = {}
    for block, comparison in ordered:
        words = pairs.verdicts(block, comparison)
        if block.place[2] == headline:
            scored = leading.scored(block, variant_scores)
            answer = leading.answer_of(scored, known.blind)
            block, comparison, words = scored.average, pairs.compare(scored.average), answer.words
            yield from leading.tables(scored, answer).items()

        kind = kinds.get(block.place[0], "")
        here = OnNetwork(block=block, comparison=comparison, words=words, kind=kind)
        networks.setdefault(block.place[2], []).append(here)

    for every in networks.values():
        yield from overall.tables(every, known.blind).items()


def _stack(parts: Sequence[pd.DataFrame], names: Sequence[str]) -> pd.DataFrame:
    """Return the parts below one another; an empty table if there are none."""
    full = [part for part in parts if len(part)]
    if not full:
        return pd.DataFrame(columns=list(names))
    return pd.concat(full, ignore_index=True)[list(names)]

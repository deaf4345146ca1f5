"""Does a surrogate stand in for its networks, and where not: one table, one sentence a surrogate.

A surrogate stands in well on a kind of inputs if its R², the mean over heads and training seeds, is
at least `GOOD`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from gpex_bench.report import templates
from gpex_bench.report.match_tables import seconds
from gpex_bench.tables.columns import NETWORK
from gpex_bench.tables.order import Record, groups, records, surrogate_order, surrogates_used
from gpex_bench.tables.words import SPLITS
from gpex_bench.types import value

GOOD = 0.95

# Statistics over all heads, as the table shows them.
R2 = "mean_r2"
COVERAGE = "mean_calibrated_coverage_90"
COVERAGES = (COVERAGE, "mean_coverage_90")


@value
class Place:
    """R² of a surrogate on one kind of inputs of one network."""

    place: str
    split: str
    r2: float


@value
class StandIn:
    """Where one surrogate stands in for its networks, and where not."""

    surrogate: str
    n_networks: int
    # kinds of inputs on which it does for all networks, and the lowest R² there
    good: tuple[str, ...]
    lowest: float
    # where it does not, the lowest R² first
    weak: tuple[Place, ...]
    # share of the outputs in its calibrated 90 % intervals on test inputs: lowest, highest network
    coverage: tuple[float, float] | None


def stand_ins(agreement: pd.DataFrame, methods: Sequence[Record]) -> list[StandIn]:
    """Return what is known of the surrogates that methods explain with; of all where none does.

    Args:
        agreement: the frame of `statistics.outcomes.agreement_summary`.
        methods: cards.
    """
    used = surrogates_used(methods)
    is_used = agreement["surrogate"].isin(list(used))
    chosen = agreement[is_used] if is_used.any() else agreement
    return [_stand_in(name, part) for (name,), part in groups(chosen, ["surrogate"])]


def _stand_in(name: str, part: pd.DataFrame) -> StandIn:
    """Return where one surrogate stands in."""
    over_heads = part[part["head"] == "all"].dropna(subset="mean")
    places = [
        Place(place=f"{row['dataset']} ({row['model']})", split=row["split"], r2=row["mean"])
        for row in records(over_heads[over_heads["statistic"] == R2])
    ]
    weak = sorted((one for one in places if one.r2 < GOOD), key=lambda one: (one.r2, one.place))
    splits = [split for split in SPLITS if any(one.split == split for one in places)]
    good = [split for split in splits if split not in {one.split for one in weak}]

    is_on_test = over_heads["split"] == "test"
    shares = over_heads.loc[is_on_test & (over_heads["statistic"] == COVERAGE), "mean"]
    return StandIn(
        surrogate=name,
        n_networks=len(part.drop_duplicates(list(NETWORK))),
        good=tuple(good),
        lowest=min((one.r2 for one in places if one.split in good), default=math.nan),
        weak=tuple(weak),
        coverage=(float(shares.min()), float(shares.max())) if len(shares) else None,
    )


def sentences(found: Sequence[StandIn]) -> list[str]:
    """Return where each surrogate stands in, and where not, in words."""
    return templates.lines("standin.md.j2", found=found, splits=SPLITS, good=GOOD)


def table(
    agreement: pd.DataFrame, costs: pd.DataFrame, surrogates: Sequence[Record]
) -> list[dict[str, Any]]:
    """Return one row for each network and surrogate: R² and coverage by split, and seconds.

    Coverage is that of the calibrated intervals, then of those as fitted.

    Args:
        agreement: the frame of `statistics.outcomes.agreement_summary`.
        costs: seconds of each fit; may be empty.
        surrogates: cards.
    """
    exact = {card["surrogate"] for card in surrogates if card.get("exact")}
    rows = []
    for (dataset, model), here in groups(agreement, NETWORK):
        over_heads = here[here["head"] == "all"]
        values = {
            (row["surrogate"], row["split"], row["statistic"]): row["mean"]
            for row in records(over_heads)
        }
        fitted = seconds(costs, dataset, model)
        for name in surrogate_order(here):
            rows.append(
                {
                    "dataset": dataset,
                    "model": model,
                    "surrogate": name,
                    "is_exact": name in exact,
                    "r2": [values.get((name, split, R2), math.nan) for split in SPLITS],
                    "coverage": [
                        tuple(values.get((name, split, one), math.nan) for one in COVERAGES)
                        for split in SPLITS
                    ],
                    "seconds": fitted.get(name, math.nan),
                }
            )
    return rows

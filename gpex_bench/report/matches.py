"""Which surrogate matches a network best: what each split, interval and fit shows, as records.

A surrogate leads on a split if its mean R² over heads, averaged over the training seeds, is the
largest. The lead is clear if its range over the seeds lies above that of the next surrogate. The
sentences are in `matches.md.j2`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from gpex_bench.report import templates
from gpex_bench.tables.order import Record, groups, records
from gpex_bench.tables.words import SPLITS
from gpex_bench.types import value

# A 90 % interval fits if it holds a share of the outputs between these two.
LOWEST_COVERAGE = 0.85
HIGHEST_COVERAGE = 0.97

# From this R² on, for every head, split and seed, a surrogate counts as exact.
PERFECT = 0.999


@value
class Lead:
    """Who is ahead by one statistic on one split."""

    split: str
    leader: str
    best: float
    # empty if there is only one surrogate
    second: str
    next_best: float
    # whether the ranges over the seeds do not touch
    is_clear: bool
    n_seeds: int

    @property
    def state(self) -> str:
        """The kind of lead: alone, one_seed, lead or tie."""
        if not self.second:
            return "alone"
        if self.n_seeds < 2:
            return "one_seed"
        return "lead" if self.is_clear else "tie"


@value
class Exact:
    """Whether the numbers of a surrogate that is exact by construction show it."""

    surrogate: str
    # the lowest R² of a head and seed, and its split; NaN if no R² is defined
    lowest_r2: float
    split: str
    is_shown: bool


@value
class Coverage:
    """The shares of outputs in the 90 % intervals of a surrogate, over some splits."""

    surrogate: str
    low: float
    high: float

    @property
    def state(self) -> str:
        """Whether the intervals fit, or are too narrow or too wide on some split."""
        if self.low < LOWEST_COVERAGE:
            return "narrow"
        return "fits" if self.high <= HIGHEST_COVERAGE else "wide"


@value
class NetworkMatch:
    """What is known of the surrogates of one network."""

    place: str
    surrogates: tuple[str, ...]
    # by split: over all surrogates, and over those that are not exact by construction
    leads: tuple[Lead, ...]
    leads_of_others: tuple[Lead, ...]
    exact: tuple[Exact, ...]
    # on test and mixed items, and on out-of-distribution items
    coverage: tuple[Coverage, ...]
    coverage_far: tuple[Coverage, ...]
    # whose variance sorts large errors best, on mixed items; None if it is known for one only
    doubt: Lead | None
    # seconds of a fit by surrogate, fastest first; empty if it is known for one only
    seconds: Mapping[str, float]


def matches(
    agreement: pd.DataFrame, cards: Sequence[Record], costs: pd.DataFrame
) -> list[NetworkMatch]:
    """Return what is known of the surrogates of each network.

    Args:
        agreement: the frame of `statistics.outcomes.agreement_summary`.
        cards: of the surrogates; `exact` says that one gives the network's outputs by construction.
        costs: seconds of each fit; may be empty.
    """
    exact = {record["surrogate"] for record in cards if record.get("exact")}
    return [
        _match(here, f"{dataset} ({model})", exact, seconds(costs, dataset, model))
        for (dataset, model), here in groups(agreement, ["dataset", "model"])
    ]


def _match(
    here: pd.DataFrame, place: str, exact: Collection[str], fitted: Mapping[str, float]
) -> NetworkMatch:
    """Return what is known of the surrogates of one network."""
    names = sorted(set(here["surrogate"]))
    exact_here = [name for name in names if name in exact]
    others = here[~here["surrogate"].isin(exact_here)]
    has_contest = bool(exact_here) and others["surrogate"].nunique() > 1

    doubt = lead(here, "mixed", "mean_auroc")
    if doubt is not None and not doubt.second:
        doubt = None

    known = [name for name in names if name in fitted]
    fastest_first = sorted(known, key=lambda name: (fitted[name], name))

    return NetworkMatch(
        place=place,
        surrogates=tuple(names),
        leads=_leads(here),
        leads_of_others=_leads(others) if has_contest else (),
        exact=tuple(_exact(here, name) for name in exact_here),
        coverage=_coverage(here, ["test", "mixed"]),
        coverage_far=_coverage(here, ["ood"]),
        doubt=doubt,
        seconds={name: fitted[name] for name in fastest_first} if len(known) > 1 else {},
    )


def _leads(here: pd.DataFrame) -> tuple[Lead, ...]:
    """Return who has the best mean R² on each split on which it is defined."""
    leads = [lead(here, split, "mean_r2") for split in SPLITS]
    return tuple(one for one in leads if one is not None)


def lead(agreement: pd.DataFrame, split: str, statistic: str) -> Lead | None:
    """Return which surrogate of one network has the largest mean of a statistic.

    None if the statistic is defined for no surrogate on this split.
    """
    is_wanted = agreement["head"].eq("all") & agreement["statistic"].eq(statistic)
    is_on_split = agreement["split"].eq(split)
    here = agreement[is_wanted & is_on_split].dropna(subset="mean")
    if here.empty:
        return None

    ranked = records(here.sort_values(["mean", "surrogate"], ascending=[False, True]))
    first = ranked[0]
    second = ranked[1] if len(ranked) > 1 else None

    return Lead(
        split=split,
        leader=first["surrogate"],
        best=first["mean"],
        second=second["surrogate"] if second else "",
        next_best=second["mean"] if second else math.nan,
        is_clear=second is not None and bool(first["low"] > second["high"]),
        n_seeds=int(first["n_seeds"]),
    )


def _exact(here: pd.DataFrame, name: str) -> Exact:
    """Return the lowest R² of a surrogate that is exact by construction."""
    is_own = here["surrogate"].eq(name) & here["head"].eq("all")
    is_weakest = here["statistic"].eq("weakest_r2")
    lowest = here[is_own & is_weakest].dropna(subset="low")
    if lowest.empty:
        return Exact(surrogate=name, lowest_r2=math.nan, split="", is_shown=False)

    first, *_ = records(lowest.sort_values(["low", "split"]))
    return Exact(
        surrogate=name,
        lowest_r2=float(first["low"]),
        split=first["split"],
        is_shown=bool(first["low"] >= PERFECT),
    )


def _coverage(here: pd.DataFrame, splits: Sequence[str]) -> tuple[Coverage, ...]:
    """Return the lowest and highest share in the 90 % intervals of each surrogate over splits."""
    is_wanted = here["head"].eq("all") & here["statistic"].eq("mean_coverage_90")
    is_on_splits = here["split"].isin(list(splits))
    shares = here[is_wanted & is_on_splits].dropna(subset="mean")

    by_surrogate = shares.groupby("surrogate")["mean"]
    ends = by_surrogate.agg(["min", "max"]).reset_index()
    return tuple(
        Coverage(surrogate=row["surrogate"], low=row["min"], high=row["max"])
        for row in records(ends)
    )


def seconds(costs: pd.DataFrame, dataset: str, model: str) -> dict[str, float]:
    """Return the seconds of a fit of each surrogate of one network, mean over training seeds."""
    here = costs[costs["dataset"].eq(dataset) & costs["model"].eq(model)]
    means = here.groupby("surrogate")["wall_seconds"].mean()
    return {str(name): float(mean) for name, mean in means.items()}


def sentences(match: NetworkMatch) -> list[str]:
    """Return what is known of the surrogates of one network in words."""
    return templates.lines(
        "matches.md.j2",
        match=match,
        splits=SPLITS,
        lowest=LOWEST_COVERAGE,
        highest=HIGHEST_COVERAGE,
    )

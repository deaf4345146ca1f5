"""What a run cannot say, and where its headline and the planted truth disagree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from gpex_bench.report import templates
from gpex_bench.report.verdict import N_NETWORKS, Finding
from gpex_bench.tables.columns import NETWORK
from gpex_bench.tables.order import Record, groups, records
from gpex_bench.types import value


@value
class Limits:
    """What the run is too small for."""

    # explained samples with a score by the headline metric: fewest and most of a network
    samples: tuple[int, int] | None
    n_networks: int
    # families of comparisons, and how many of them are expected to hold a false "better" at most
    n_families: int
    n_false: float
    # how many samples would separate the best methods, by network
    power: tuple[tuple[str, str], ...]

    @property
    def has_few_networks(self) -> bool:
        """Whether nothing is tested over networks."""
        return self.n_networks < N_NETWORKS


def limits(
    outcomes: pd.DataFrame,
    headline: str,
    found: Sequence[Finding],
    families: pd.DataFrame | None,
    power: pd.DataFrame | None,
) -> Limits:
    """Return what the run is too small for.

    Args:
        outcomes: one row for each dataset, model, method and metric.
        headline: run id of the headline metric.
        found: the findings of the headline metric.
        families: the table of families of comparisons; None: there is none.
        power: how many samples would separate the best methods; None: not known.
    """
    is_scored = outcomes["metric"].eq(headline) & outcomes["state"].eq("ok")
    sizes = outcomes[is_scored].groupby(list(NETWORK))["n_samples"].max()
    wanted: list[tuple[str, str]] = []
    if power is not None and len(power):
        own = power[power["metric"] == headline].sort_values(list(NETWORK))
        wanted = [(f"{row['dataset']} ({row['model']})", row["sentence"]) for row in records(own)]

    return Limits(
        samples=(int(sizes.min()), int(sizes.max())) if len(sizes) else None,
        n_networks=sum(one.n_methods > 0 for one in found),
        n_families=int(families["n_families"].sum()) if families is not None else 0,
        n_false=float(families["expected_false"].sum()) if families is not None else 0.0,
        power=tuple(wanted),
    )


def sentences(found: Limits) -> list[str]:
    """Return what the run cannot say, in words."""
    return templates.lines("doubts.md.j2", limits=found, least=N_NETWORKS)


@value
class Confrontation:
    """How the headline orders the methods of one network, against the planted truth."""

    place: str
    # metric of planted truth
    truth: str
    tau: float
    low: float
    high: float
    n_methods: int
    # method, its place by the headline and its place by truth; None where no place differs
    overrated: tuple[str, int, int] | None
    underrated: tuple[str, int, int] | None


def confrontations(agreement: pd.DataFrame | None, headline: str) -> list[Confrontation]:
    """Return how the headline agrees with each metric of planted truth, by network.

    Args:
        agreement: the table `truth_agreement`; None: there is none.
        headline: run id of the headline metric.
    """
    if agreement is None or agreement.empty:
        return []

    own = agreement[(agreement["metric"] == headline) & agreement["tau"].notna()]
    return [
        Confrontation(
            place=f"{dataset} ({model})",
            truth=truth,
            tau=row["tau"],
            low=row["low"],
            high=row["high"],
            n_methods=int(row["n_methods"]),
            overrated=_misplaced(row, "overrated"),
            underrated=_misplaced(row, "underrated"),
        )
        for (dataset, model, truth), part in groups(own, [*NETWORK, "truth"])
        for row in records(part)
    ]


def _misplaced(row: Record, how: str) -> tuple[str, int, int] | None:
    """Return a method and its two places; None where no place differs."""
    if not row[how]:
        return None
    return row[how], int(row[f"{how}_place"]), int(row[f"{how}_true_place"])


def in_words(found: Sequence[Confrontation], headline: str) -> list[str]:
    """Return the paragraph that confronts the headline with planted truth."""
    return templates.lines("confront.md.j2", found=found, headline=headline)


def best_metrics(agreement: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return for each metric its mean tau with the metrics of planted truth, the largest first."""
    if agreement is None or agreement.empty:
        return []

    known = agreement.dropna(subset="tau")
    means = known.groupby("metric")["tau"].agg(["mean", "min", "max"]).reset_index()
    return records(means.sort_values(["mean", "metric"], ascending=[False, True]))

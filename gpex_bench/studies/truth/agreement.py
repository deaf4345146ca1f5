"""Scores of a run → how well every faithfulness score agrees with planted truth, and which best.

Which score is best is not known, only which ones may be: a score is ruled out where another one
agrees better at the 5 % level divided by the number of the others (one-sided, paired). The scores
that are left hold the best one with 95 % confidence (gupta1965some).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from gpex_bench.statistics.truth import (
    Tau,
    common,
    decided_pairs,
    estimate,
    mean_tau,
    places,
    scores_of,
    share_alike,
    tau,
)
from gpex_bench.statistics.units import Units, units
from gpex_bench.tables.columns import LEVEL, NETWORK, SCORES
from gpex_bench.tables.order import Record, control_ids, groups

MEAN = "mean"  # over the truth metrics
AGREEMENT = (
    *NETWORK,
    "score",
    "truth",
    "tau",
    "low",
    "high",
    "share_alike",
    "n_decided",
    "n_methods",
)
TABLE = (
    "scope",
    "score",
    "tau",
    "tau_low",
    "tau_high",
    "share_alike",
    "behind",
    "behind_low",
    "behind_high",
    "p_best",
    "may_be_best",
    "n_networks",
)

Network = tuple[str, str]
Taus = Mapping[Network, Mapping[str, Tau]]  # by network and score, the mean over the truth metrics


def with_variants(
    scores: pd.DataFrame, variant_scores: pd.DataFrame, metrics: Sequence[Record]
) -> tuple[pd.DataFrame, list[Record]]:
    """Return scores and records in which every fill and output is a metric of its own.

    Its name is "srg (blur, logit)"; the one that the metric itself uses has no copy.
    """
    is_main = (variant_scores["fill"] == "baseline") & (variant_scores["output"] == "probability")
    others = variant_scores[~is_main]
    names = others["metric"] + " (" + others["fill"] + ", " + others["output"] + ")"
    renamed = others.assign(metric=names)[list(SCORES)]

    base = dict(zip(names, others["metric"], strict=True))
    record = {one["metric"]: one for one in metrics}
    added = [{**record[metric], "metric": name} for name, metric in base.items()]
    return pd.concat([scores, renamed], ignore_index=True), [*metrics, *added]


def agree(
    scores: pd.DataFrame, methods: Sequence[Record], metrics: Sequence[Record]
) -> tuple[pd.DataFrame, Taus]:
    """Return the agreement of every score on every network (`AGREEMENT`), and the mean taus.

    All scores on a network are compared over the same methods, so that their taus can be
    subtracted. Scores of other samples than the truth metrics', as those of metrics that explain
    again, are left out.
    """
    kinds = {record["metric"]: record["measures"] for record in metrics}
    better = {record["metric"]: record["higher_is_better"] for record in metrics}
    kept = scores[scores["metric"].map(kinds).isin(["faithfulness", "truth"])]

    rows: list[dict[str, object]] = []
    taus: dict[Network, dict[str, Tau]] = {}
    for network, part in groups(kept, NETWORK):
        blocks = {one.place[2]: one for one in units(part, better, control_ids(methods))}
        truths = [block for name, block in blocks.items() if kinds[name] == "truth"]
        shape = truths[0].scores.shape[1:]
        faithful = [
            block
            for name, block in blocks.items()
            if kinds[name] == "faithfulness" and block.scores.shape[1:] == shape
        ]
        compared = common(*truths, *faithful)
        decided = [decided_pairs(truth) for truth in truths]
        found = {one.place[2]: _agree_on(one, truths, decided, compared) for one in faithful}
        taus[network] = {name: mean for name, (_, mean) in found.items()}
        rows.extend(row for own, _ in found.values() for row in own)
    return pd.DataFrame(rows, columns=list(AGREEMENT)), taus


def _agree_on(
    score: Units,
    truths: Sequence[Units],
    decided: Sequence[Mapping[tuple[str, str], int]],
    methods: Sequence[str],
) -> tuple[list[dict[str, object]], Tau]:
    """Return a row for each truth metric and their mean, and the mean tau."""
    place = places(score, methods)
    taus = [
        tau(scores_of(score, methods), scores_of(truth, methods), score.key) for truth in truths
    ]
    shares = [share_alike(place, methods, pairs) for pairs in decided]

    n_decided = sum(number for _, number in shares)
    n_right = sum(share * number for share, number in shares if number)
    share_of_all = n_right / n_decided if n_decided else math.nan
    mean = mean_tau(taus)

    names = [*(truth.place[2] for truth in truths), MEAN]
    entries = zip(names, [*taus, mean], [*shares, (share_of_all, n_decided)], strict=True)
    rows = []
    for name, one, (share, number) in entries:
        found = estimate([one])
        rows.append(
            {
                "dataset": score.place[0],
                "model": score.place[1],
                "score": score.place[2],
                "truth": name,
                "tau": found.mean,
                "low": max(found.low, -1.0),
                "high": min(found.high, 1.0),
                "share_alike": share,
                "n_decided": number,
                "n_methods": len(methods),
            }
        )
    return rows, mean


def compare(
    scope: str, taus: Taus, agreement: pd.DataFrame, networks: Collection[Network]
) -> pd.DataFrame:
    """Return a row for each score that all these networks have (`TABLE`), the best one on top.

    `behind` is how far its tau is below that of the top score, with an interval of its own;
    `p_best` belongs to "this score agrees best", and `may_be_best` says whether it is left.
    """
    here = [taus[network] for network in networks]
    shared = set.intersection(*(set(own) for own in here)) if here else set()
    means = {name: estimate([own[name] for own in here]) for name in sorted(shared)}
    known = {name: found for name, found in means.items() if np.isfinite(found.mean)}
    order = sorted(known, key=lambda name: -known[name].mean)

    is_here = agreement[list(NETWORK)].apply(tuple, axis=1).isin(list(networks))
    is_mean = agreement["truth"] == MEAN
    shares = agreement[is_here & is_mean].groupby("score")["share_alike"].mean()

    rows = []
    for name in order:
        gaps = {
            other: estimate([own[other] - own[name] for own in here])
            for other in order
            if other != name
        }
        behind = gaps.get(order[0])
        # one-sided: only a score that agrees better rules another one out
        p_better = [gap.p_value / 2 for gap in gaps.values() if gap.mean > 0]
        p_best = min([1.0, *(p_value * len(gaps) for p_value in p_better)])
        ends = (0.0, 0.0, 0.0) if behind is None else (behind.mean, behind.low, behind.high)
        found = known[name]
        tau_ends = (found.mean, max(found.low, -1.0), min(found.high, 1.0))
        rest = (p_best, p_best >= LEVEL, len(here))
        rows.append((scope, name, *tau_ends, float(shares[name]), *ends, *rest))
    return pd.DataFrame(rows, columns=list(TABLE))

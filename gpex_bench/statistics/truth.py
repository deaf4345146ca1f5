"""Do faithfulness metrics order the methods as the planted truth does?

Kendall's tau-b (kendall1938new) between the methods' mean scores by a metric and by a metric of
planted truth, on the same samples: 1 is the same order, 0 is unrelated. It is taken under each
training and then averaged, because evidence is planted in the data and each network uses it in its
own way. Controls are left out, and methods with the same scores by both metrics count once.

The interval counts trainings and samples as drawn at random. Their squared errors are added: that
of trainings from the spread of their taus, that of samples from a bootstrap (what resampling does
to all trainings alike). With one training the interval is that of samples alone.
`benchmarks/truth_coverage.py` measures how often it holds the true tau.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy import stats

from gpex_bench.statistics.bootstrap import counts, expansion, resampled_means
from gpex_bench.statistics.intervals import t_interval
from gpex_bench.statistics.pairs import compare, verdicts
from gpex_bench.statistics.units import Units
from gpex_bench.tables.columns import TRUTH_AGREEMENT
from gpex_bench.tables.order import Record
from gpex_bench.tables.words import BETTER, WORSE
from gpex_bench.types import value

N_RESAMPLES = 500  # a standard error needs fewer than a quantile does
FEWEST = 3  # methods: the tau of two is 1 or -1, whatever their scores


@value
class Tau:
    """Kendall's tau of two scores on one network; differences of two are of this kind too."""

    by_seed: Float[np.ndarray, "seed"]
    resampled: Float[np.ndarray, "resample seed"]  # on resampled samples, the same for each seed
    n_samples: int

    def __sub__(self, other: Tau) -> Tau:
        """Return the difference on the same network; both have the same resamples."""
        return Tau(
            by_seed=self.by_seed - other.by_seed,
            resampled=self.resampled - other.resampled,
            n_samples=self.n_samples,
        )


@value
class Estimate:
    """A mean over networks with its 95 % interval."""

    mean: float
    low: float
    high: float
    p_value: float  # two-sided, of "it is 0"


def table(blocks: Sequence[Units], metrics: Sequence[Record]) -> pd.DataFrame:
    """Return a row for each network, faithfulness metric and truth metric (`TRUTH_AGREEMENT`).

    `overrated` is the method that the metric places highest above its place by truth, `underrated`
    the one furthest below; empty where no place differs. Metrics that score other samples than the
    truth metric does have no row, nor have networks with fewer than three methods.

    Args:
        blocks: every network and metric of a run.
        metrics: a record of each metric: its run id and what it measures.
    """
    measures = {record["metric"]: record["measures"] for record in metrics}
    in_order = sorted(blocks, key=lambda block: block.place)

    rows: list[dict[str, object]] = []
    for _, same_network in groupby(in_order, key=lambda block: block.place[:2]):
        there = list(same_network)
        faithful = [one for one in there if measures[one.place[2]] == "faithfulness"]
        for truth in [one for one in there if measures[one.place[2]] == "truth"]:
            decided = decided_pairs(truth)
            rows.extend(_row(one, truth, decided) for one in faithful if _comparable(one, truth))
    return pd.DataFrame(rows, columns=list(TRUTH_AGREEMENT))


def _comparable(metric: Units, truth: Units) -> bool:
    """Return whether both score the same samples and trainings of enough methods."""
    same_shape = metric.scores.shape[1:] == truth.scores.shape[1:]
    return same_shape and len(common(metric, truth)) >= FEWEST


def common(*blocks: Units) -> list[str]:
    """Return the methods, no controls, with all scores in every block.

    Of methods with the same scores in all of them, the first one.
    """
    found: dict[tuple[int, ...], str] = {}
    for name in blocks[0].plain:
        if any(name not in block.methods for block in blocks):
            continue
        groups = tuple(int(block.group[block.methods.index(name)]) for block in blocks)
        is_complete = all(block.ranked[at] for block, at in zip(blocks, groups, strict=True))
        if is_complete:
            found.setdefault(groups, name)
    return list(found.values())


def scores_of(units: Units, methods: Sequence[str]) -> Float[np.ndarray, "method sample seed"]:
    """Return the scores of some methods, more is better; those of one group are equal."""
    groups = [units.group[units.methods.index(name)] for name in methods]
    return units.distinct[groups]


def places(units: Units, methods: Sequence[str]) -> Int[np.ndarray, "method"]:
    """Return the place of each method by its mean score; 1 is best, equal ones share the best."""
    means = scores_of(units, methods).mean((1, 2))
    return stats.rankdata(-means, "min").astype(np.int64)


def _row(metric: Units, truth: Units, decided: dict[tuple[str, str], int]) -> dict[str, object]:
    """Return how a metric agrees with the truth on one network."""
    methods = common(metric, truth)
    one, other = scores_of(metric, methods), scores_of(truth, methods)
    found = estimate([tau(one, other, metric.key)])

    place, true_place = places(metric, methods), places(truth, methods)
    share, n_decided = share_alike(place, methods, decided)

    return dict(
        zip(("dataset", "model", "metric"), metric.place, strict=True),
        truth=truth.place[2],
        tau=found.mean,
        low=max(found.low, -1.0),
        high=min(found.high, 1.0),
        share_alike=share,
        n_decided=n_decided,
        n_methods=len(methods),
        **_furthest("overrated", true_place - place, methods, place, true_place),
        **_furthest("underrated", place - true_place, methods, place, true_place),
    )


def decided_pairs(truth: Units) -> dict[tuple[str, str], int]:
    """Return for each ordered pair of methods that the truth tells apart, which way."""
    verdict = verdicts(truth, compare(truth))
    way = {BETTER: 1, WORSE: -1}
    group = dict(zip(truth.methods, truth.group, strict=True))
    ways = {
        (first, second): way.get(verdict[group[first], group[second]], 0)
        for first in truth.plain
        for second in truth.plain
    }
    return {pair: way for pair, way in ways.items() if way}


def share_alike(
    place: Int[np.ndarray, "method"], methods: Sequence[str], decided: Mapping[tuple[str, str], int]
) -> tuple[float, int]:
    """Return the share of the decided pairs that are placed the same way, and how many there are.

    Pairs that share a place count half.
    """
    place_of = dict(zip(methods, place.tolist(), strict=True))
    right = [
        0.5 * (1 + way * np.sign(place_of[second] - place_of[first]))
        for (first, second), way in decided.items()
        if first < second and first in place_of and second in place_of
    ]
    return (float(np.mean(right)) if right else math.nan), len(right)


def _furthest(
    name: str,
    gap: Int[np.ndarray, "method"],
    methods: Sequence[str],
    place: Int[np.ndarray, "method"],
    true_place: Int[np.ndarray, "method"],
) -> dict[str, object]:
    """Return the method with the largest gap and its two places; none without a gap above 0."""
    at = int(gap.argmax())
    if gap[at] <= 0:
        return {name: "", f"{name}_place": math.nan, f"{name}_true_place": math.nan}
    return {
        name: methods[at],
        f"{name}_place": float(place[at]),
        f"{name}_true_place": float(true_place[at]),
    }


# --- tau and its interval ---


def tau(
    one: Float[np.ndarray, "method sample seed"],
    other: Float[np.ndarray, "method sample seed"],
    key: str,
) -> Tau:
    """Return Kendall's tau between the methods' means by two scores under each training.

    Args:
        one: finite scores; more is better.
        other: of the same methods, samples and trainings.
        key: decides the resamples, so that taus with the same key can be subtracted.
    """
    n_samples, n_seeds = one.shape[1:]
    by_seed = tau_b(one.mean(1).T, other.mean(1).T)

    times = counts(key, n_samples, N_RESAMPLES)
    resampled = np.empty((N_RESAMPLES, n_seeds))
    for seed in range(n_seeds):
        means = [resampled_means(scores[:, :, seed].T, times) for scores in (one, other)]
        resampled[:, seed] = tau_b(*means)
    return Tau(by_seed=by_seed, resampled=resampled, n_samples=n_samples)


def tau_b(
    one: Float[np.ndarray, "... method"], other: Float[np.ndarray, "... method"]
) -> Float[np.ndarray, "..."]:
    """Return Kendall's tau-b along the last axis; NaN where all methods are equal."""
    first, second = np.triu_indices(one.shape[-1], 1)
    way = np.sign(one[..., first] - one[..., second])
    other_way = np.sign(other[..., first] - other[..., second])

    agreeing = (way * other_way).sum(-1)
    n_untied = (way != 0).sum(-1) * (other_way != 0).sum(-1)
    divisor = np.sqrt(np.maximum(n_untied, 1))
    return np.where(n_untied > 0, agreeing / divisor, np.nan)


def estimate(parts: Sequence[Tau]) -> Estimate:
    """Return mean and 95 % interval over networks, each with trainings and samples of its own.

    The networks are fixed: the interval does not speak of others. The degrees of freedom are those
    of Satterthwaite (satterthwaite1946approximate). NaN where a tau is not known.
    """
    mean = float(np.mean([part.by_seed.mean() for part in parts]))

    squares, degrees = [], []
    for part in parts:
        n_seeds = len(part.by_seed)
        if n_seeds > 1:
            squares.append(float(part.by_seed.var(ddof=1)) / n_seeds)
            degrees.append(n_seeds - 1)
        if part.n_samples > 1:
            squares.append(_of_samples(part) * expansion(part.n_samples) ** 2)
            degrees.append(part.n_samples - 1)

    square = np.array(squares)
    total = float(square.sum())
    if not squares or not math.isfinite(total):
        return Estimate(mean=mean, low=math.nan, high=math.nan, p_value=math.nan)
    if total == 0:
        return Estimate(mean=mean, low=mean, high=mean, p_value=float(mean == 0))

    freedom = total**2 / float((square**2 / np.array(degrees)).sum())
    error = math.sqrt(total) / len(parts)
    low, high = t_interval(mean, error, freedom)
    p_value = float(2 * stats.t.sf(abs(mean) / error, freedom))
    return Estimate(mean=mean, low=float(low), high=float(high), p_value=p_value)


def _of_samples(tau: Tau) -> float:
    """Return the squared error that the samples add to what the spread of the trainings shows.

    It is the product of two trainings' distances from their estimates, on the same resamples: what
    a sample does to one training alone is in the spread of the trainings already. Around the
    estimates, because resampling adds noise and so moves a tau towards 0.
    """
    away = tau.resampled - tau.by_seed
    products = away.T @ away / len(away)
    n_seeds = len(products)
    if n_seeds == 1:
        return float(products[0, 0])
    shared = (products.sum() - np.trace(products)) / (n_seeds * (n_seeds - 1))
    return max(float(shared), 0.0)


def mean_tau(taus: Sequence[Tau]) -> Tau:
    """Return the mean of several taus on one network, which have the same resamples."""
    return Tau(
        by_seed=np.mean([tau.by_seed for tau in taus], axis=0),
        resampled=np.mean([tau.resampled for tau in taus], axis=0),
        n_samples=taus[0].n_samples,
    )

"""Every method against every other one and against the controls, sample by sample.

Wilcoxon's signed-rank test (wilcoxon1945individual; differences of zero by Pratt's rule,
pratt1959remarks), exact up to 50 samples also with ties, with Holm's correction
(holm1979simple). The methods among themselves are one family of comparisons, the methods against
one control another: adding a control never changes a verdict between methods. The test depends on
the two methods alone, unlike one on mean ranks (benavoli2016should), so it decides what is tied and
what is best.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from gpex_bench.statistics.units import RESOLUTION, Units, sample_means
from gpex_bench.tables.columns import LEVEL, PLACE, SECOND_OPINION
from gpex_bench.types import value

# Up to so many differences the exact distribution is used, with zeros and ties as they came.
EXACT = 50

# Pairs whose distributions are held in memory at a time.
TOGETHER = 2000

# Differences below this share of the standard deviation of the two methods' scores count as none.
ROPE = 0.1


@value
class Comparison:
    """What the paired test finds for each two groups: positive where the first is better."""

    p_value: Float[np.ndarray, "group group"]  # 1 on the diagonal
    effect: Float[np.ndarray, "group group"]  # matched-pairs rank-biserial correlation in [-1, 1]
    median: Float[np.ndarray, "group group"]  # median difference, in units of the score
    n_units: Float[np.ndarray, "group group"]  # samples that both have
    # Share of the training seeds whose mean difference has the sign of the effect.
    seeds: Float[np.ndarray, "group group"]


def holm(p_values: Float[np.ndarray, "test"]) -> Float[np.ndarray, "test"]:
    """Return p values adjusted for many comparisons by Holm's step-down rule.

    The k-th smallest of m p values is multiplied by m - k + 1, and no adjusted p value is smaller
    than one before it (holm1979simple).
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    steps = np.maximum.accumulate(p_values[order] * factors)

    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def signed_rank(
    differences: Float[np.ndarray, "sample pair"],
) -> tuple[Float[np.ndarray, "pair"], Float[np.ndarray, "pair"]]:
    """Return the two-sided p value and the rank-biserial effect size of each column.

    The effect size is the sum of the signed ranks over the sum of the ranks (kerby2014simple). A
    column whose differences are all zero has p = 1 and effect 0.

    Args:
        differences: NaN where there is none.
    """
    known = np.isfinite(differences)
    size = np.where(known, np.abs(differences), np.nan)
    ranks = stats.rankdata(size, axis=0, nan_policy="omit")
    signed = np.where(known, np.sign(differences), 0.0) * np.where(known, ranks, 0.0)

    n_pairs = differences.shape[1]
    total = np.abs(signed).sum(0)
    moved = total > 0
    effect = np.zeros(n_pairs)
    effect[moved] = signed.sum(0)[moved] / total[moved]

    # SciPy's exact distribution is that without zeros and ties.
    few = known.sum(0) <= EXACT
    in_order = np.sort(size, axis=0)
    is_plain = ~(np.diff(in_order, axis=0, prepend=0.0) == 0).any(0)

    p_value = np.ones(n_pairs)
    tied = few & ~is_plain & moved
    if tied.any():
        p_value[tied] = exact_p(signed[:, tied])
    for columns, method in ((few & is_plain & moved, "exact"), (~few & moved, "asymptotic")):
        if columns.any():
            p_value[columns] = stats.wilcoxon(
                differences[:, columns],
                zero_method="pratt",
                method=method,
                axis=0,
                nan_policy="omit",
            ).pvalue
    return p_value, effect


def exact_p(signed: Float[np.ndarray, "sample pair"]) -> Float[np.ndarray, "pair"]:
    """Return two-sided p values of the signed-rank statistic given the ranks that came.

    Each sign is as likely as the other, so the distribution of the sum of positive ranks is a
    convolution; mid-ranks of ties are halves, so everything is counted in halves. Without zeros and
    ties this is Wilcoxon's table.

    Args:
        signed: ranks with the sign of the difference; 0 for a difference of zero.
    """
    halves = np.rint(2 * signed).astype(np.int64)
    p_value = np.empty(halves.shape[1])
    for start in range(0, len(p_value), TOGETHER):
        columns = slice(start, start + TOGETHER)
        part = halves[:, columns]
        share = _distribution(np.abs(part))

        # The chance of a sum as small as the one observed, and of one as large.
        place = np.arange(share.shape[1])
        observed = np.where(part > 0, part, 0).sum(0)[:, None]
        below = np.where(place <= observed, share, 0.0).sum(1)
        above = np.where(place >= observed, share, 0.0).sum(1)

        one_sided = np.minimum(below, above)
        p_value[columns] = np.minimum(1.0, 2 * one_sided)
    return p_value


def _distribution(ranks: np.ndarray) -> Float[np.ndarray, "pair sum"]:
    """Return the chance of each sum of positive ranks, of ranks [sample, pair] in halves."""
    largest_sum = int(ranks.sum(0).max())
    share = np.zeros((ranks.shape[1], largest_sum + 1))
    share[:, 0] = 1.0

    # Each rank is added with chance 1/2, or not.
    place = np.arange(share.shape[1])
    for rank in ranks:
        before = place - rank[:, None]
        moved = np.take_along_axis(share, np.maximum(before, 0), 1)
        added = np.where(before >= 0, moved, 0.0)
        share = (share + added) / 2
    return share


def compare(units: Units) -> Comparison:
    """Compare every two groups, on the seeds and samples that both have."""
    distinct = units.distinct
    n_groups = len(distinct)
    first, second = np.triu_indices(n_groups, 1)
    gaps = distinct[first] - distinct[second]

    # Differences that float32 rounding can make are none.
    typical = np.nanmedian(np.abs(distinct.reshape(n_groups, -1)), axis=1)
    floor = RESOLUTION * np.minimum(typical[first], typical[second])
    differences = sample_means(gaps).T
    differences = np.where(np.abs(differences) <= floor, 0.0, differences)

    p_value, effect = signed_rank(differences)
    median = _median(differences)
    n_units = np.isfinite(differences).sum(0).astype(float)
    seeds = _agreeing_seeds(gaps, effect)

    def square(upper: np.ndarray, lower: np.ndarray, diagonal: float) -> np.ndarray:
        matrix = np.full((n_groups, n_groups), diagonal)
        matrix[first, second] = upper
        matrix[second, first] = lower
        return matrix

    return Comparison(
        p_value=square(p_value, p_value, 1.0),
        effect=square(effect, -effect, 0.0),
        median=square(median, -median, 0.0),
        n_units=square(n_units, n_units, float(distinct.shape[1])),
        seeds=square(seeds, seeds, 1.0),
    )


def _agreeing_seeds(
    gaps: Float[np.ndarray, "pair sample seed"], effect: Float[np.ndarray, "pair"]
) -> Float[np.ndarray, "pair"]:
    """Return the share of the seeds whose mean difference has the sign of the effect."""
    has_seed = np.isfinite(gaps).any(1)
    n_seeds = has_seed.sum(1)

    # [seed, pair], as `effect` is by pair.
    seed_means = _mean(gaps.transpose(1, 2, 0))
    signs = np.sign(np.nan_to_num(seed_means))
    has_sign_of_effect = signs == np.sign(effect)

    n_agreeing = (has_sign_of_effect.T & has_seed).sum(1)
    return n_agreeing / np.maximum(n_seeds, 1)


def _mean(values: Float[np.ndarray, "row ..."]) -> Float[np.ndarray, "..."]:
    """Return the mean of what is known; NaN where nothing is."""
    n_known = np.isfinite(values).sum(0)
    means = np.nansum(values, 0) / np.maximum(n_known, 1)
    return np.where(n_known > 0, means, np.nan)


def _median(values: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "column"]:
    """Return the median of what is known; NaN where nothing is."""
    some = np.isfinite(values).any(0)
    medians = np.full(values.shape[1], np.nan)
    medians[some] = np.nanmedian(values[:, some], axis=0)
    return medians


def families(units: Units, comparison: Comparison) -> Float[np.ndarray, "group group"]:
    """Return p values after Holm's correction; NaN between two controls.

    All pairs of different methods are one family; the methods against one control are another.
    """
    adjusted = np.full_like(comparison.p_value, np.nan)
    np.fill_diagonal(adjusted, 1.0)

    ours = np.flatnonzero(units.has_method)
    for control in np.flatnonzero(units.has_control):
        family = ours[ours != control]
        corrected = holm(comparison.p_value[family, control])
        adjusted[family, control] = corrected
        adjusted[control, family] = corrected

    # A group of a method and a control is a method: its family of methods decides.
    pairs = np.array(list(combinations(ours, 2)), dtype=int).reshape(-1, 2)
    first, second = pairs.T
    corrected = holm(comparison.p_value[first, second])
    adjusted[first, second] = corrected
    adjusted[second, first] = corrected
    return adjusted


def verdicts(
    comparison: Comparison, adjusted: Float[np.ndarray, "group group"]
) -> Float[np.ndarray, "group group"]:
    """Return 1 where the first group is better, -1 where worse, 0 where tied or not compared."""
    is_significant = np.nan_to_num(adjusted, nan=1.0) < LEVEL
    return np.where(is_significant, np.sign(comparison.effect), 0.0)


def table(units: Units, comparison: Comparison) -> pd.DataFrame:
    """Return one row for each pair of methods, and for each method and control (then `other`).

    `median_difference` is positive where `method` is better, whatever the direction of the metric.
    """
    adjusted = families(units, comparison)
    verdict = verdicts(comparison, adjusted)

    plain, controls = np.flatnonzero(~units.is_control), np.flatnonzero(units.is_control)
    rows = list(combinations(plain, 2))
    rows += [(method, control) for method in plain for control in controls]
    first, second = np.array(rows, dtype=int).reshape(-1, 2).T

    names = np.array(units.methods)
    a, b = units.group[first], units.group[second]
    words = np.array(["worse", "tied", "better"])
    columns = dict(zip(PLACE, units.place, strict=True)) | {
        "method": names[first],
        "other": names[second],
        "median_difference": comparison.median[a, b],
        "effect_size": comparison.effect[a, b],
        "p_value": comparison.p_value[a, b],
        "p_holm": adjusted[a, b],
        "verdict": words[verdict[a, b].astype(int) + 1],
        "is_control": units.is_control[second],
        # Filled in by `informative.relations`, which knows what the controls are for.
        "relation": "",
        "n_units": comparison.n_units[a, b].astype(int),
        "seeds_agreeing": comparison.seeds[a, b],
    }
    return pd.DataFrame(columns)


def second_opinion(
    units: Units, leaders: list[int], seed: int = 1, n_draws: int = 1000
) -> pd.DataFrame:
    """Return the Bayesian signed-rank test of the first leader against each other one.

    The probabilities that the first is practically better, that the two are practically equal
    (within `rope`, a tenth of the standard deviation of their scores over samples), and that the
    other is better (benavoli2014bayesian).

    Args:
        units: the scores.
        leaders: groups, the best first.
        seed: of the draws from the posterior.
        n_draws: how many.
    """
    import baycomp

    scores = sample_means(units.distinct)
    rows = []
    for other in leaders[1:]:
        a, b = scores[leaders[0]], scores[other]
        rope = ROPE * float(np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)) if len(a) > 1 else 0.0
        if rope == 0:
            continue

        p_second, p_equal, p_first = baycomp.SignedRankTest.probs(
            b, a, rope, nsamples=n_draws, random_state=seed
        )
        names = (units.label(leaders[0]), units.label(other))
        rows.append((*units.place, *names, rope, p_first, p_equal, p_second))
    return pd.DataFrame(rows, columns=list(SECOND_OPINION))

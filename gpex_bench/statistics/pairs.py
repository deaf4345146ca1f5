"""Every method against every other one and against the controls, sample by sample.

Wilcoxon's signed-rank test (wilcoxon1945individual; differences of zero by Pratt's rule, pratt1959remarks), exact up to
50 samples also with ties, with Holm's correction (holm1979simple). The methods among themselves are one family of
comparisons, the methods against one control another: adding a control never changes a verdict between methods. The test
depends on the two methods alone, unlike one on mean ranks (benavoli2016should), so it decides what is tied and what is
best.
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

EXACT = (
    50  # up to so many differences the exact distribution is used, with zeros and ties as they came
)
TOGETHER = 2000  # pairs whose distributions are held at a time
ROPE = 0.1  # of the standard deviation of the two methods' scores: differences below it count as practically none


@value
class Comparison:
    """What the paired test says of each two groups: positive where the first is better."""

    p_value: Float[np.ndarray, "group group"]  # 1 on the diagonal
    effect: Float[np.ndarray, "group group"]  # matched-pairs rank-biserial correlation in [-1, 1]
    median: Float[
        np.ndarray, "group group"
    ]  # median difference over samples, in units of the score
    n_units: Float[np.ndarray, "group group"]  # samples that both have
    seeds: Float[
        np.ndarray, "group group"
    ]  # share of training seeds whose mean difference has the sign of the effect


def holm(p_values: Float[np.ndarray, "test"]) -> Float[np.ndarray, "test"]:
    """Return p values adjusted for many comparisons by Holm's step-down rule (holm1979simple)."""
    order = np.argsort(p_values, kind="stable")
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def signed_rank(
    differences: Float[np.ndarray, "sample pair"],
) -> tuple[Float[np.ndarray, "pair"], Float[np.ndarray, "pair"]]:
    """Return the two-sided p value and the rank-biserial effect size (kerby2014simple) of each column.

    Rows with NaN are no observation. A column whose differences are all zero has p = 1 and effect 0.
    """
    n_pairs = differences.shape[1]
    p_value, effect = np.ones(n_pairs), np.zeros(n_pairs)
    known = np.isfinite(differences)
    size = np.where(known, np.abs(differences), np.nan)
    ranks = stats.rankdata(size, axis=0, nan_policy="omit")
    signed = np.where(known, np.sign(differences), 0.0) * np.where(known, ranks, 0.0)
    total = np.abs(signed).sum(0)
    moved = total > 0
    effect[moved] = signed.sum(0)[moved] / total[moved]
    few = known.sum(0) <= EXACT
    ordered = np.sort(size, axis=0)
    plain = ~(np.diff(ordered, axis=0, prepend=0.0) == 0).any(0)
    tied = few & ~plain & moved
    if tied.any():
        p_value[tied] = exact_p(signed[:, tied])
    for columns, method in ((few & plain & moved, "exact"), (~few & moved, "asymptotic")):
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
    """Return two-sided p values of the signed-rank statistic given the ranks that came (0 for a difference of zero).

    Each sign is as likely as the other, so the distribution of the sum of positive ranks is a convolution; mid-ranks of
    ties are halves, so everything is counted in halves. Without zeros and ties this is Wilcoxon's table.
    """
    halves = np.rint(2 * signed).astype(np.int64)
    found = np.empty(halves.shape[1])
    for start in range(0, len(found), TOGETHER):
        part = halves[:, start : start + TOGETHER]
        share = np.zeros((part.shape[1], int(np.abs(part).sum(0).max()) + 1))
        share[:, 0] = 1.0
        place = np.arange(share.shape[1])
        for rank in np.abs(part):
            before = place - rank[:, None]
            share = (
                share
                + np.where(before >= 0, np.take_along_axis(share, np.maximum(before, 0), 1), 0.0)
            ) / 2
        positive = np.where(part > 0, part, 0).sum(0)[:, None]
        below = np.where(place <= positive, share, 0.0).sum(1)
        above = np.where(place >= positive, share, 0.0).sum(1)
        found[start : start + TOGETHER] = np.minimum(1.0, 2 * np.minimum(below, above))
    return found


def compare(units: Units) -> Comparison:
    """Compare every two groups, on the seeds and samples that both have."""
    distinct = units.distinct
    n_groups = len(distinct)
    first, second = np.triu_indices(n_groups, 1)
    gaps = distinct[first] - distinct[second]
    differences = sample_means(gaps).T
    typical = np.nanmedian(np.abs(distinct.reshape(n_groups, -1)), axis=1)
    floor = RESOLUTION * np.minimum(typical[first], typical[second])
    differences = np.where(np.abs(differences) <= floor, 0.0, differences)
    p_value, effect = signed_rank(differences)
    by_seed = np.sign(np.nan_to_num(_mean(gaps.transpose(1, 2, 0))))
    n_seeds = np.isfinite(gaps).any(1).sum(1)
    agreeing = (by_seed == np.sign(effect)).T & np.isfinite(gaps).any(1)

    def square(upper: np.ndarray, lower: np.ndarray, diagonal: float) -> np.ndarray:
        matrix = np.full((n_groups, n_groups), diagonal)
        matrix[first, second], matrix[second, first] = upper, lower
        return matrix

    median = _median(differences)
    n_units = np.isfinite(differences).sum(0).astype(float)
    share = agreeing.sum(1) / np.maximum(n_seeds, 1)
    return Comparison(
        p_value=square(p_value, p_value, 1.0),
        effect=square(effect, -effect, 0.0),
        median=square(median, -median, 0.0),
        n_units=square(n_units, n_units, float(distinct.shape[1])),
        seeds=square(share, share, 1.0),
    )


def _mean(values: Float[np.ndarray, "row ..."]) -> Float[np.ndarray, "..."]:
    """Return the mean of what is known; NaN where nothing is."""
    n_known = np.isfinite(values).sum(0)
    return np.where(n_known > 0, np.nansum(values, 0) / np.maximum(n_known, 1), np.nan)


def _median(values: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "column"]:
    """Return the median of what is known; NaN where nothing is."""
    some = np.isfinite(values).any(0)
    found = np.full(values.shape[1], np.nan)
    found[some] = np.nanmedian(values[:, some], axis=0)
    return found


def families(units: Units, told: Comparison) -> Float[np.ndarray, "group group"]:
    """Return p values after Holm's correction; NaN between two controls.

    One family are all pairs of different methods, and one for each control are the methods against it.
    """
    is_method = np.bincount(units.group, ~units.is_control, minlength=units.n_groups) > 0
    adjusted = np.full_like(told.p_value, np.nan)
    np.fill_diagonal(adjusted, 1.0)
    ours = np.flatnonzero(is_method)
    for control in np.flatnonzero(
        np.bincount(units.group, units.is_control, minlength=units.n_groups) > 0
    ):
        family = ours[ours != control]
        adjusted[family, control] = adjusted[control, family] = holm(told.p_value[family, control])
    pairs = np.array(list(combinations(ours, 2)), dtype=int).reshape(-1, 2)
    corrected = holm(told.p_value[pairs[:, 0], pairs[:, 1]])
    adjusted[pairs[:, 0], pairs[:, 1]] = adjusted[pairs[:, 1], pairs[:, 0]] = corrected
    return adjusted


def verdicts(
    told: Comparison, adjusted: Float[np.ndarray, "group group"]
) -> Float[np.ndarray, "group group"]:
    """Return 1 where the first group is better, -1 where it is worse, 0 where they are tied or not compared."""
    return np.where(np.nan_to_num(adjusted, nan=1.0) < LEVEL, np.sign(told.effect), 0.0)


def table(units: Units, told: Comparison) -> pd.DataFrame:
    """Return one row for each pair of methods, and for each method and control (which is then `other`).

    `median_difference` is positive where `method` is better, whatever the direction of the metric.
    """
    adjusted = families(units, told)
    verdict = verdicts(told, adjusted)
    control, names = units.is_control, np.array(units.methods)
    plain, blind = np.flatnonzero(~control), np.flatnonzero(control)
    rows = [*combinations(plain, 2), *((method, other) for method in plain for other in blind)]
    first, second = np.array(rows, dtype=int).reshape(-1, 2).T
    a, b = units.group[first], units.group[second]
    found = {
        "method": names[first],
        "other": names[second],
        "median_difference": told.median[a, b],
        "effect_size": told.effect[a, b],
        "p_value": told.p_value[a, b],
        "p_holm": adjusted[a, b],
        "verdict": np.array(["worse", "tied", "better"])[verdict[a, b].astype(int) + 1],
        "is_control": control[second],
        "relation": "",  # filled in by `informative.relations`, which knows what the controls are for
        "n_units": told.n_units[a, b].astype(int),
        "seeds_agreeing": told.seeds[a, b],
    }
    return pd.DataFrame({**dict(zip(PLACE, units.place, strict=True)), **found})


def second_opinion(
    units: Units, leaders: list[int], seed: int = 1, n_draws: int = 1000
) -> pd.DataFrame:
    """Return the Bayesian signed-rank test (benavoli2014bayesian) of the first leader against each other one.

    The probabilities that the first is practically better, that the two are practically equal (within `rope`,
    a tenth of the standard deviation of their scores over samples), and that the other is.
    """
    import baycomp

    scores = sample_means(units.distinct)
    rows = []
    for other in leaders[1:]:
        a, b = scores[leaders[0]], scores[other]
        rope = ROPE * float(np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)) if len(a) > 1 else 0.0
        if rope == 0:
            continue
        chances = baycomp.SignedRankTest.probs(b, a, rope, nsamples=n_draws, random_state=seed)
        names = (units.label(leaders[0]), units.label(other))
        rows.append((*units.place, *names, rope, chances[2], chances[1], chances[0]))
    return pd.DataFrame(rows, columns=list(SECOND_OPINION))

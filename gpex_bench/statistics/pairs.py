"""Every method against every other one and against the controls, sample by sample.

What is estimated is the mean difference over samples. Its interval and its p values come from one
procedure (`means`), corrected after holm1979simple. The methods among themselves are one family of
comparisons, the methods against one control another: adding a control never changes a verdict
between methods. A test depends on the two methods alone, unlike one on mean ranks
(benavoli2016should).

Three things can be said of two methods (`tables.words`). One is *better*: the difference is
significant, and larger than the smallest one that matters (`Metric.margin`). They are *equal*: the
difference is significantly smaller than that (two one-sided tests, schuirmann1987comparison). Or
they are *not shown to differ*, which is no claim.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from gpex_bench.statistics.means import means
from gpex_bench.statistics.units import (
    MARGIN_OF_SPREAD,
    RESOLUTION,
    ROUNDING,
    Units,
    sample_means,
)
from gpex_bench.tables.columns import FAMILIES, LEVEL, PLACE
from gpex_bench.tables.words import BETTER, EQUAL, OPEN, WORSE
from gpex_bench.types import value

Square = Float[np.ndarray, "group group"]
Squares = Float[np.ndarray, "*variant group group"]


@value
class Comparison:
    """What is known of each two groups: positive where the first is better."""

    estimate: Square  # mean difference, in units of the score
    low: Square  # its 95 % interval
    high: Square
    margin: Square  # smallest difference that matters
    p_value: Square  # of "there is no difference", 1 on the diagonal
    p_equal: Square  # of "the difference is the margin or more"
    p_worse: Square  # of "the first is worse by the margin or more", 0 on the diagonal
    n_units: Square  # samples that both have
    # Share of the training seeds whose mean difference has the sign of the estimate.
    seeds: Square


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


def compare(units: Units) -> Comparison:
    """Compare every two groups, on the seeds and samples that both have."""
    distinct = units.distinct
    first, second = np.triu_indices(len(distinct), 1)
    gaps = distinct[first] - distinct[second]

    # Differences that rounding can make are none.
    typical = _typical(distinct)
    floor = RESOLUTION * np.minimum(typical[first], typical[second])
    floor = np.maximum(floor, units.scale.resolution)[:, None]

    # Differences of several seeds may cancel up to the last bits of their sum.
    size = np.nan_to_num(np.abs(distinct)).max(2)
    floor = np.maximum(floor, ROUNDING * np.maximum(size[first], size[second]))
    differences = sample_means(gaps)
    differences = np.where(np.abs(differences) <= floor, 0.0, differences)

    found = means(differences, units.scale.free_width)
    low, high, p_value = found.test
    margin = _margins(units, first, second)
    p_worse, p_better = found.beyond(margin)
    p_equal = np.maximum(p_worse, p_better)
    seeds = _agreeing_seeds(gaps, found.mean)

    def square(upper: np.ndarray, lower: np.ndarray, diagonal: float) -> np.ndarray:
        matrix = np.full((len(distinct), len(distinct)), diagonal)
        matrix[first, second] = upper
        matrix[second, first] = lower
        return matrix

    return Comparison(
        estimate=square(found.mean, -found.mean, 0.0),
        low=square(low, -high, 0.0),
        high=square(high, -low, 0.0),
        margin=square(margin, margin, 0.0),
        p_value=square(p_value, p_value, 1.0),
        p_equal=square(p_equal, p_equal, 0.0),
        p_worse=square(p_worse, p_better, 0.0),
        n_units=square(found.n, found.n, float(distinct.shape[1])),
        seeds=square(seeds, seeds, 1.0),
    )


def _typical(scores: Float[np.ndarray, "group sample seed"]) -> Float[np.ndarray, "group"]:
    """Return the size of a typical score of each group."""
    flat = np.abs(scores).reshape(len(scores), -1)
    return np.nanmedian(flat, axis=1) if flat.size else np.zeros(len(scores))


def _margins(units: Units, first: np.ndarray, second: np.ndarray) -> Float[np.ndarray, "pair"]:
    """Return the smallest difference that matters between two groups.

    Where the metric states none, it is a share of the standard deviation over the samples of the
    two: no third method has a part in it.
    """
    if units.scale.margin is not None:
        return np.full(len(first), units.scale.margin)

    scores = means(sample_means(units.distinct))
    variance = scores.n * scores.error**2
    pooled = np.sqrt((variance[first] + variance[second]) / 2)
    return MARGIN_OF_SPREAD * pooled


def _agreeing_seeds(
    gaps: Float[np.ndarray, "pair sample seed"], estimate: Float[np.ndarray, "pair"]
) -> Float[np.ndarray, "pair"]:
    """Return the share of the seeds whose mean difference has the sign of the estimate."""
    by_seed = sample_means(gaps.transpose(0, 2, 1))
    has_seed = np.isfinite(by_seed)

    signs = np.sign(np.where(has_seed, by_seed, 0.0))
    has_sign = signs == np.sign(estimate)[:, None]

    n_agreeing = (has_sign & has_seed).sum(1)
    return n_agreeing / np.maximum(has_seed.sum(1), 1)


def families(units: Units, comparison: Comparison, p_values: Squares | None = None) -> Squares:
    """Return p values after Holm's correction; NaN between two controls.

    All pairs of different methods are one family; the methods against one control are another.

    Args:
        units: the scores.
        comparison: of its groups.
        p_values: of the comparisons; those of "there is no difference", unless others are given.
            Those under several variants of a score are corrected together.
    """
    every = comparison.p_value if p_values is None else p_values
    adjusted = np.full_like(every, np.nan)
    itself = np.arange(every.shape[-1])
    adjusted[..., itself, itself] = every[..., itself, itself]

    for first, second in _families(units):
        for at in ((first, second), (second, first)):
            plain = every[(..., *at)]
            adjusted[(..., *at)] = holm(plain.ravel()).reshape(plain.shape)
    return adjusted


def _families(units: Units) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the first and the second group of each comparison, by family."""
    ours = np.flatnonzero(units.has_method)
    found = []
    for control in np.flatnonzero(units.has_control):
        family = ours[ours != control]
        found.append((family, np.full(len(family), control)))

    # A group of a method and a control is a method: its family of methods decides, and comes last.
    pairs = np.array(list(combinations(ours, 2)), dtype=int).reshape(-1, 2)
    found.append((pairs[:, 0], pairs[:, 1]))
    return found


def family_sizes(units: Units) -> pd.DataFrame:
    """Return one row: how many families of comparisons, and how many are expected to be wrong."""
    sizes = [len(first) for first, _ in _families(units) if len(first)]
    row = (*units.place, len(sizes), sum(sizes), LEVEL * len(sizes))
    return pd.DataFrame([row], columns=list(FAMILIES))


def verdicts(units: Units, comparison: Comparison) -> np.ndarray:
    """Return what is said of each two groups [group, group]: the words of `tables.words`.

    "" between two controls. Groups are equal to themselves.
    """
    p_holm = families(units, comparison)
    p_equal = families(units, comparison, comparison.p_equal)
    return worded(comparison, p_holm, p_equal)


def worded(comparison: Comparison, p_holm: Square, p_equal: Square) -> np.ndarray:
    """Return what is said of each two groups, by p values that are corrected."""
    is_different = (p_holm < LEVEL) & (np.abs(comparison.estimate) > comparison.margin)

    words = np.full(p_holm.shape, OPEN, dtype=object)
    words[p_equal < LEVEL] = EQUAL
    words[is_different & (comparison.estimate > 0)] = BETTER
    words[is_different & (comparison.estimate < 0)] = WORSE
    words[np.isnan(p_holm)] = ""
    return words


def table(units: Units, comparison: Comparison) -> pd.DataFrame:
    """Return one row for each pair of methods, and for each method and control (then `other`).

    `mean_difference` is positive where `method` is better, whatever the direction of the metric.
    """
    plain, controls = np.flatnonzero(~units.is_control), np.flatnonzero(units.is_control)
    rows = list(combinations(plain, 2))
    rows += [(method, control) for method in plain for control in controls]
    first, second = np.array(rows, dtype=int).reshape(-1, 2).T

    names = np.array(units.methods)
    at = (units.group[first], units.group[second])
    columns = dict(zip(PLACE, units.place, strict=True)) | {
        "method": names[first],
        "other": names[second],
        "mean_difference": comparison.estimate[at],
        "low": comparison.low[at],
        "high": comparison.high[at],
        "margin": comparison.margin[at],
        "p_value": comparison.p_value[at],
        "p_holm": families(units, comparison)[at],
        "p_equal": families(units, comparison, comparison.p_equal)[at],
        "verdict": verdicts(units, comparison)[at],
        "is_control": units.is_control[second],
        # Filled in by `informative.relations`, which knows what the controls are for.
        "relation": "",
        "n_units": comparison.n_units[at].astype(int),
        "seeds_agreeing": comparison.seeds[at],
    }
    return pd.DataFrame(columns)

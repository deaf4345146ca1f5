"""What a run cannot tell, and how many samples it would take.

A mean difference has a verdict where it is a number of standard errors away from 0 (then one method
is better) or from the margin (then the two are equal). That number is the quantile of the level
plus that of the wanted power (80 %). The level is that of the hardest step of Holm's correction:
5 % over all pairs of methods. The standard deviation of the differences, and what their means are
taken to be, come from the run: it is a plan and not a promise.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from gpex_bench.statistics.means import means
from gpex_bench.statistics.pairs import Comparison, verdicts
from gpex_bench.statistics.units import Units, sample_means
from gpex_bench.tables import columns
from gpex_bench.tables.columns import LEVEL
from gpex_bench.tables.words import OPEN

POWER = 0.8

# Samples; above it the sentence gives no number.
LIMIT = 10_000


def leaders(units: Units, n: int = 3) -> list[int]:
    """Return the groups of methods with the best means, the best first."""
    ours = np.flatnonzero(units.ranked)
    score = means(sample_means(units.distinct[ours])).mean if len(ours) else np.empty(0)
    order = np.argsort(-score, kind="stable")
    return [int(ours[place]) for place in order[:n]]


def needed(differences: np.ndarray, margin: float, level: float) -> float:
    """Return how many samples are likely to bring a verdict at 80 % power; maybe infinity.

    Args:
        differences: of two methods, one number per sample.
        margin: the smallest difference that matters.
        level: of the test.
    """
    found = means(differences[None])
    spread = float(found.error[0] * math.sqrt(found.n[0]))
    size = abs(float(found.mean[0]))

    # Beyond the margin, away from 0; within it, away from the margin, on both of its sides.
    is_beyond = size > margin
    away = size if is_beyond else margin - size
    share_missed = 1 - POWER if is_beyond else (1 - POWER) / 2
    if not away > 0:
        return math.inf

    quantiles = stats.norm.isf(level / 2) + stats.norm.isf(share_missed)
    by_formula = (quantiles * spread / away) ** 2

    # With fewer samples not even differences that all agree have so small a p value.
    at_least = math.log2(2 / level)
    return float(math.ceil(max(by_formula, at_least)))


def detectable(units: Units, groups: list[int], level: float) -> float:
    """Return the smallest mean difference that these samples are likely to show (80 %).

    That of the pair in the middle, of all pairs of these groups; NaN for fewer than two.
    """
    scores = sample_means(units.distinct)
    first, second = np.triu_indices(len(groups), 1)
    at = np.array(groups, dtype=int)
    found = means(scores[at[first]] - scores[at[second]])
    if not len(first) or found.n.min() < 2:
        return math.nan

    # Student's t, whose few degrees of freedom count at such levels.
    quantile = stats.t.isf(level / 2, found.degrees) + stats.t.isf(1 - POWER, found.degrees)
    return float(np.median(quantile * found.error))


def table(units: Units, comparison: Comparison) -> pd.DataFrame:
    """Return one row: the three best methods, and how many samples tell them apart.

    No row for fewer than two methods.
    """
    best = leaders(units)
    if len(best) < 2:
        return pd.DataFrame(columns=list(columns.POWER))

    verdict = verdicts(units, comparison)
    ours = np.flatnonzero(units.ranked).tolist()
    level = LEVEL / (len(ours) * (len(ours) - 1) / 2)

    scores = sample_means(units.distinct)
    n_used = scores.shape[1]
    wanted = []
    for place, first in enumerate(best):
        for second in best[place + 1 :]:
            if verdict[first, second] == OPEN:
                margin = float(comparison.margin[first, second])
                n = needed(scores[first] - scores[second], margin, level)
                wanted.append(max(n, n_used + 1))
    n_samples = max(wanted, default=float(n_used))

    names = [units.label(group) for group in best]
    missing = [""] * (3 - len(names))
    shown = n_samples if n_samples <= LIMIT else math.nan
    smallest = detectable(units, ours, level)
    sentence = _sentence(names, n_samples, n_used, len(wanted))
    row = (*units.place, *names, *missing, n_used, shown, smallest, sentence)
    return pd.DataFrame([row], columns=list(columns.POWER))


def _sentence(names: list[str], n_samples: float, n_used: int, n_open: int) -> str:
    """Return the result in words."""
    who = f"{', '.join(names[:-1])} and {names[-1]}"
    if not n_open:
        return f"{who}: {n_used} samples are enough, each two have a verdict."

    if n_samples > LIMIT:
        return f"{who}: more than {LIMIT:,} samples are needed for a verdict on each two."
    return (
        f"{who}: about {n_samples:,.0f} samples are needed for a verdict on each two "
        f"({n_used} were used)."
    )

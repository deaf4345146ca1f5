"""How many samples (images, on images) it takes to separate the three best methods.

Noether's formula for the signed-rank test (noether1987sample): n = (z_a + z_b)² / (3 (p - 1/2)²),
where p is the chance that two differences sum to more than 0, taken from the run. The level is that
of the hardest step of Holm's correction: 5 % over the number of pairs of methods that are tied now.
That assumes that the observed differences are the true ones, so it is a plan and not a promise.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from gpex_bench.statistics.pairs import Comparison, families, verdicts
from gpex_bench.statistics.ranking import Ranks
from gpex_bench.statistics.units import Units, sample_means
from gpex_bench.tables import columns
from gpex_bench.tables.columns import LEVEL

POWER = 0.8

# Samples; above it the sentence gives no number.
LIMIT = 10_000


def leaders(ranks: Ranks, n: int = 3) -> list[int]:
    """Return the groups with the lowest mean ranks, the best first."""
    order = np.argsort(ranks.mean, kind="stable")
    return [ranks.groups[place] for place in order[:n]]


def needed(differences: np.ndarray, level: float) -> float:
    """Return how many samples the signed-rank test needs at 80 % power; maybe infinity.

    Args:
        differences: of two methods, one number per sample.
        level: of the test.
    """
    # p - 1/2, over all pairs of samples; ties count half.
    pairs = np.triu_indices(len(differences), 1)
    sums = (differences[:, None] + differences[None])[pairs]
    away = np.sign(sums).mean() / 2 if len(sums) else 0.0
    if away == 0:
        return math.inf

    quantiles = stats.norm.isf(level / 2) + stats.norm.ppf(POWER)
    by_formula = quantiles**2 / (3 * away**2)

    # With fewer samples not even differences that all agree have so small a p value.
    at_least = math.log2(2 / level)
    samples = max(by_formula, at_least)
    return float(math.ceil(samples))


def table(units: Units, comparison: Comparison, ranks: Ranks) -> pd.DataFrame:
    """Return one row: the three best methods by mean rank, and how many samples separate them.

    No row for fewer than two methods.
    """
    best = leaders(ranks)
    if len(best) < 2:
        return pd.DataFrame(columns=list(columns.POWER))

    verdict = verdicts(comparison, families(units, comparison))
    ours = np.array(ranks.groups)
    n_tied = int((verdict[np.ix_(ours, ours)] == 0).sum() - len(ours)) // 2

    scores = sample_means(units.distinct)
    n_units = scores.shape[1]
    wanted = []
    for place, first in enumerate(best):
        for second in best[place + 1 :]:
            if verdict[first, second] == 0:
                n = needed(scores[first] - scores[second], LEVEL / n_tied)
                wanted.append(max(n, n_units + 1))
    n_images = max(wanted, default=float(n_units))

    names = [units.label(group) for group in best]
    missing = [""] * (3 - len(names))
    shown = n_images if n_images <= LIMIT else math.nan
    sentence = _sentence(names, n_images, n_units, len(wanted))
    row = (*units.place, *names, *missing, shown, sentence)
    return pd.DataFrame([row], columns=list(columns.POWER))


def _sentence(names: list[str], n_images: float, n_units: int, n_open: int) -> str:
    """Return the result in words."""
    who = f"{', '.join(names[:-1])} and {names[-1]}"
    if not n_open:
        return f"{who} are already separated with {n_units} samples."

    if n_images > LIMIT:
        return f"{who}: more than {LIMIT:,} samples are needed to separate them."
    return (
        f"{who}: about {n_images:,.0f} samples are needed to separate them ({n_units} were used)."
    )

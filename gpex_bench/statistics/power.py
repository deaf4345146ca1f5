"""How many samples (images, on images) it takes to separate the three best methods.

Noether's formula for the signed-rank test (noether1987sample): n = (z_a + z_b)² / (3 (p - 1/2)²), where p is the chance
that two differences sum to more than 0, taken from the run. The level is that of the hardest step of Holm's correction:
5 % over the number of pairs of methods that are tied now. That assumes that the observed differences are the true ones,
so it is a plan and not a promise.
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
LIMIT = 10_000  # samples; beyond it only "more than" is said


def leaders(found: Ranks, n: int = 3) -> list[int]:
    """Return the groups with the lowest mean ranks, the best first."""
    return [found.groups[place] for place in np.argsort(found.mean, kind="stable")[:n]]


def needed(differences: np.ndarray, level: float) -> float:
    """Return how many samples the signed-rank test needs to find differences like these, at 80 % power; maybe inf."""
    sums = (differences[:, None] + differences[None])[np.triu_indices(len(differences), 1)]
    away = np.sign(sums).mean() / 2 if len(sums) else 0.0
    if away == 0:
        return math.inf
    quantiles = stats.norm.isf(level / 2) + stats.norm.ppf(POWER)
    at_least = math.log2(
        2 / level
    )  # below it not even differences that all agree have so small a p value
    return float(math.ceil(max(quantiles**2 / (3 * away**2), at_least)))


def table(units: Units, told: Comparison, found: Ranks) -> pd.DataFrame:
    """Return one row: the three best methods by mean rank, and how many samples would separate them.

    No row for fewer than two methods.
    """
    best = leaders(found)
    if len(best) < 2:
        return pd.DataFrame(columns=list(columns.POWER))
    verdict = verdicts(told, families(units, told))
    ours = np.array(found.groups)
    n_tied = int((verdict[np.ix_(ours, ours)] == 0).sum() - len(ours)) // 2
    scores = sample_means(units.distinct)
    n_units = scores.shape[1]
    open_pairs = [(a, b) for at, a in enumerate(best) for b in best[at + 1 :] if verdict[a, b] == 0]
    wanted = [
        max(needed(scores[a] - scores[b], LEVEL / n_tied), n_units + 1) for a, b in open_pairs
    ]
    n_images = max(wanted, default=float(n_units))
    names = [units.label(group) for group in best]
    row = (
        *units.place,
        *names,
        *[""] * (3 - len(names)),
        n_images if n_images <= LIMIT else math.nan,
    )
    return pd.DataFrame(
        [(*row, _sentence(names, n_images, n_units, len(open_pairs)))], columns=list(columns.POWER)
    )


def _sentence(names: list[str], n_images: float, n_units: int, n_open: int) -> str:
    """Say it."""
    who = f"{', '.join(names[:-1])} and {names[-1]}"
    if not n_open:
        return f"{who} are already separated with {n_units} samples."
    if n_images > LIMIT:
        return f"{who}: more than {LIMIT:,} samples are needed to separate them."
    return (
        f"{who}: about {n_images:,.0f} samples are needed to separate them ({n_units} were used)."
    )

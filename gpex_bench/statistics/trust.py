"""Which metric can be trusted? Properties of the metrics themselves, from the scores of a run.

- planted order: how often, sample by sample, oracle > methods > random > inverted comes out (ties
  count half); 1 is perfect, 0.5 chance.
- seed agreement: Kendall's W of the methods' mean ranks under the training seeds; 1 is the same
  ranking under each.
- separation: share of the pairs of different methods that differ significantly.
- random minus chance: mean score of the random control minus the chance value the metric declares.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from gpex_bench.statistics.bootstrap import counts, resampled_means
from gpex_bench.statistics.informative import Roles
from gpex_bench.statistics.means import means
from gpex_bench.statistics.pairs import Comparison, verdicts
from gpex_bench.statistics.units import Units, rounded, sample_means
from gpex_bench.tables.columns import CONFIDENCE, TRUST
from gpex_bench.tables.words import BETTER, WORSE
from gpex_bench.types import Role

# Of Kendall's W; means have closed intervals.
N_RESAMPLES = 2000

Property = tuple[float, float, float]  # value, low, high; the ends are NaN without an interval


def table(units: Units, comparison: Comparison, known: Roles, chance: float | None) -> pd.DataFrame:
    """Return one row for each property of one metric on one network that can be known."""
    properties = {
        "planted order": planted_order(units, known),
        "seed agreement": seed_agreement(units),
        "separation": separation(units, comparison),
        "random minus chance": _random_minus_chance(units, known, chance),
    }

    dataset, model, metric = units.place
    rows = [
        (metric, dataset, model, name, *numbers)
        for name, numbers in properties.items()
        if numbers is not None
    ]
    return pd.DataFrame(rows, columns=list(TRUST))


def planted_order(units: Units, known: Roles) -> Property | None:
    """Return how often the planted order is right, with its interval over samples.

    None in a run without an oracle, a random and an inverted control.
    """
    oracles = units.groups_of(known.of(Role.ORACLE))
    methods = np.flatnonzero(units.ranked).tolist()
    random = units.groups_of(known.of(Role.RANDOM))
    inverted = units.groups_of(known.inverted)
    if not (oracles or random or inverted):
        return None

    # Each level against the next one that the run has.
    scores = rounded(sample_means(units.distinct), units.scale.resolution)
    levels = [level for level in (oracles, methods, random, inverted) if level]
    shares_right = []
    for better, worse in zip(levels, levels[1:], strict=False):
        gaps = scores[better][:, None] - scores[worse][None]
        is_right = (gaps > 0) + 0.5 * (gaps == 0)
        shares_right.append(is_right.mean((0, 1)))

    if not shares_right:
        return None
    return _over_samples(np.mean(shares_right, axis=0))


def _over_samples(values: Float[np.ndarray, "sample"]) -> Property:
    """Return mean and interval over samples."""
    found = means(values[None])
    low, high = found.interval
    return float(found.mean[0]), float(low[0]), float(high[0])


def kendalls_w(ranks: Float[np.ndarray, "... rater item"]) -> Float[np.ndarray, "..."]:
    """Return Kendall's coefficient of concordance, corrected for ties; NaN where all are tied.

    W = 12 S / (m² (n³ - n) - m T) for m raters and n items, where S is the sum of the squared
    deviations of the items' rank sums from their mean, and T the sum of t³ - t over all ties of t
    items (kendall1939problem).
    """
    n_raters, n_items = ranks.shape[-2:]
    rank_sums = ranks.sum(-2)
    mean_sum = n_raters * (n_items + 1) / 2
    deviations = rank_sums - mean_sum
    spread = (deviations**2).sum(-1)

    # Each item of a tie of t adds t² - 1, which makes t³ - t together.
    is_tied = ranks[..., :, None] == ranks[..., None, :]
    tie_size = is_tied.sum(-1).astype(float)
    excess = tie_size**2 - 1
    ties = excess.sum((-1, -2))

    # The spread if all raters agreed; 0 where each rater ties all items.
    without_ties = n_raters**2 * (n_items**3 - n_items)
    largest = (without_ties - n_raters * ties) / 12
    is_ranked = largest > 0
    divisor = np.where(is_ranked, largest, 1)
    return np.where(is_ranked, spread / divisor, np.nan)


def seed_agreement(units: Units) -> Property | None:
    """Return Kendall's W over the training seeds, with its interval over samples.

    None with one seed or method.
    """
    scores = units.distinct[units.ranked] if units.n_groups else units.scores
    if scores.shape[0] < 2 or scores.shape[2] < 2:
        return None
    n_groups, n_samples, n_seeds = scores.shape
    by_seed = scores.mean(1).T[None]
    value = float(_concordance(by_seed)[0])

    columns = scores.transpose(1, 2, 0).reshape(n_samples, -1)
    times = counts(units.key, n_samples, N_RESAMPLES)
    resampled = resampled_means(columns, times).reshape(-1, n_seeds, n_groups)
    values = _concordance(resampled)
    if n_samples < 2 or not np.isfinite(values).any():
        return value, float("nan"), float("nan")

    edge = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(values, [edge, 1 - edge])
    return value, float(low), float(high)


def _concordance(scores: Float[np.ndarray, "part seed group"]) -> Float[np.ndarray, "part"]:
    """Return Kendall's W of the ranks of the groups under each seed."""
    return kendalls_w(stats.rankdata(scores, axis=-1))


def separation(units: Units, comparison: Comparison) -> Property | None:
    """Return the share of pairs of methods that differ significantly; None for less than two."""
    ours = np.flatnonzero(units.ranked)
    if len(ours) < 2:
        return None

    verdict = verdicts(units, comparison)
    among_ours = verdict[np.ix_(ours, ours)]

    n_different = np.isin(among_ours, (BETTER, WORSE)).sum()
    n_ordered_pairs = len(ours) * (len(ours) - 1)
    return float(n_different / n_ordered_pairs), math.nan, math.nan


def _random_minus_chance(units: Units, known: Roles, chance: float | None) -> Property | None:
    """Return how far the random control is from the declared chance value, in units of the score.

    None without either.
    """
    random = units.groups_of(known.of(Role.RANDOM))
    if chance is None or not random:
        return None

    by_sample = sample_means(units.distinct[random]).mean(0)
    return _over_samples(units.sign * by_sample - chance)

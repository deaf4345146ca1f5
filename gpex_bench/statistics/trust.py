"""Which metric can be trusted? Properties of the metrics themselves, from the scores of a run.

- planted order: how often, sample by sample, oracle > methods > random > inverted comes out (ties count half); 1 is
  perfect, 0.5 chance.
- seed agreement: Kendall's W of the methods' mean ranks under the training seeds; 1 is the same ranking under each.
- separation: share of the pairs of different methods that are told apart.
- random minus chance: mean score of the random control minus the chance value the metric declares.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from gpex_bench.statistics.bootstrap import counts, percentile_interval, resampled_means
from gpex_bench.statistics.informative import Roles
from gpex_bench.statistics.pairs import Comparison, families, verdicts
from gpex_bench.statistics.ranking import N_RESAMPLES
from gpex_bench.statistics.units import Units, sample_means
from gpex_bench.tables.columns import CONFIDENCE, TRUST
from gpex_bench.types import Role


def table(units: Units, told: Comparison, known: Roles, chance: float | None) -> pd.DataFrame:
    """Return one row for each property of one metric on one network that can be known."""
    rows = [
        ("planted order", planted_order(units, known)),
        ("seed agreement", seed_agreement(units)),
        ("separation", separation(units, told)),
        ("random minus chance", _random(units, known, chance)),
    ]
    dataset, model, metric = units.place
    found = [
        (metric, dataset, model, name, *numbers) for name, numbers in rows if numbers is not None
    ]
    return pd.DataFrame(found, columns=list(TRUST))


def planted_order(units: Units, known: Roles) -> tuple[float, float, float] | None:
    """Return how often the planted order is right, with its interval over samples; None without such controls."""
    scores = sample_means(units.distinct)
    levels = [
        units.groups_of(known.of(Role.ORACLE)),
        np.flatnonzero(units.ranked).tolist(),
        units.groups_of(known.of(Role.RANDOM)),
        units.groups_of(known.inverted),
    ]
    if not (levels[0] or levels[2] or levels[3]):
        return None
    parts = []
    filled = [level for level in levels if level]
    for better, worse in zip(filled, filled[1:], strict=False):
        gaps = scores[better][:, None] - scores[worse][None]
        parts.append(((gaps > 0) + 0.5 * (gaps == 0)).mean((0, 1)))
    return _over_samples(units, np.mean(parts, axis=0)) if parts else None


def _over_samples(units: Units, values: Float[np.ndarray, "sample"]) -> tuple[float, float, float]:
    """Return mean and interval over samples."""
    column = values[np.isfinite(values)][:, None]
    means = resampled_means(column, counts(units.key, len(column)))
    low, high = percentile_interval(means, len(column))
    return float(column.mean()), float(low[0]), float(high[0])


def kendalls_w(ranks: Float[np.ndarray, "... rater item"]) -> Float[np.ndarray, "..."]:
    """Return Kendall's coefficient of concordance, corrected for ties (kendall1939problem); NaN where all are tied."""
    n_raters, n_items = ranks.shape[-2:]
    spread = ((ranks.sum(-2) - n_raters * (n_items + 1) / 2) ** 2).sum(-1)
    same = (ranks[..., :, None] == ranks[..., None, :]).sum(
        (-1,)
    )  # size of the tie each item is in
    ties = (same.astype(float) ** 2 - 1).sum((-1, -2))
    largest = (n_raters**2 * (n_items**3 - n_items) - n_raters * ties) / 12
    return np.where(largest > 0, spread / np.where(largest > 0, largest, 1), np.nan)


def seed_agreement(units: Units) -> tuple[float, float, float] | None:
    """Return Kendall's W over the training seeds, with its interval over samples; None with one seed or method."""
    scores = units.distinct[units.ranked] if units.n_groups else units.scores
    if scores.shape[0] < 2 or scores.shape[2] < 2:
        return None
    n_groups, n_samples, n_seeds = scores.shape
    columns = scores.transpose(1, 2, 0).reshape(n_samples, -1)
    means = resampled_means(columns, counts(units.key, n_samples, N_RESAMPLES)).reshape(
        -1, n_seeds, n_groups
    )
    whole = np.stack([scores.mean(1).T])
    value, resampled = (kendalls_w(stats.rankdata(part, axis=-1)) for part in (whole, means))
    edge = (1 - CONFIDENCE) / 2
    if n_samples < 2 or not np.isfinite(resampled).any():
        return float(value[0]), float("nan"), float("nan")
    low, high = np.nanquantile(resampled, [edge, 1 - edge])
    return float(value[0]), float(low), float(high)


def separation(units: Units, told: Comparison) -> tuple[float, float, float] | None:
    """Return the share of pairs of different methods that are told apart; None for fewer than two methods."""
    ours = np.flatnonzero(units.ranked)
    if len(ours) < 2:
        return None
    verdict = verdicts(told, families(units, told))[np.ix_(ours, ours)]
    return float((verdict != 0).sum() / (len(ours) * (len(ours) - 1))), float("nan"), float("nan")


def _random(units: Units, known: Roles, chance: float | None) -> tuple[float, float, float] | None:
    """Return how far the random control is from the declared chance value, in units of the score."""
    found = units.groups_of(known.of(Role.RANDOM))
    if chance is None or not found:
        return None
    return _over_samples(units, units.sign * sample_means(units.distinct[found]).mean(0) - chance)

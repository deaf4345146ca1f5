"""Rankings of the methods on one network and over networks, with intervals and tests.

Ranks are taken within a sample (1 is best, equal scores share a rank) over the different methods that have all their
scores; controls are left out, and methods with the same scores are ranked once. Friedman's test (friedman1937use) asks
whether the methods differ at all; where it does not reject, nothing is separated. Nemenyi's critical difference
(demsar2006statistical) is what a critical-difference diagram draws. It depends on which methods take part, so that the
verdicts of the tables come from the paired tests in `pairs`, as benavoli2016should advise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy import stats

from gpex_bench.statistics.bootstrap import (
    counts,
    draws,
    percentile_interval,
    resampled_means,
)
from gpex_bench.statistics.units import Units, sample_means
from gpex_bench.tables.columns import CONFIDENCE, LEVEL, OVERALL, PLACE, RANKING
from gpex_bench.types import value

N_RESAMPLES = 2000


@value
class Ranks:
    """Ranks of some groups in each block (sample or network), and what the tests on them say."""

    groups: list[int]
    ranks: Float[np.ndarray, "block group"]  # 1 is best
    friedman_p: float
    critical_difference: float

    @property
    def mean(self) -> Float[np.ndarray, "group"]:
        """The mean rank of each group."""
        return self.ranks.mean(0)

    @property
    def near(self) -> Bool[np.ndarray, "group group"]:
        """Which groups are not separated: closer than the critical difference, or all if Friedman does not reject."""
        if not self.friedman_p < LEVEL:
            return np.ones((len(self.groups), len(self.groups)), dtype=bool)
        return np.abs(self.mean[:, None] - self.mean[None]) < self.critical_difference

    @property
    def letters(self) -> list[str]:
        """Letters of each group: two groups share one unless they are separated; "a" is the best set."""
        order = np.argsort(self.mean, kind="stable")
        reach = np.array(
            [np.flatnonzero(self.near[order[start]][order]).max() for start in range(len(order))]
        )
        starts = [
            start for start in range(len(order)) if start == 0 or reach[start] > reach[start - 1]
        ]
        found = [""] * len(order)
        for number, start in enumerate(starts):
            for place in range(start, reach[start] + 1):
                found[order[place]] += _letter(number)
        return found


def _letter(number: int) -> str:
    """Return a, b, ..., z, then A, B, ...; then a2, b2, and so on."""
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    turn, place = divmod(number, len(alphabet))
    return alphabet[place] + (str(turn + 1) if turn else "")


def critical_difference(n_methods: int, n_blocks: int) -> float:
    """Return Nemenyi's critical difference of mean ranks at the 5 % level (demsar2006statistical, section 3.2.2)."""
    if n_methods < 2:
        return float("nan")
    quantile = stats.studentized_range.ppf(1 - LEVEL, n_methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(n_methods * (n_methods + 1) / (6 * n_blocks)))


def friedman(scores: Float[np.ndarray, "block group"]) -> float:
    """Return the p value of Friedman's test; NaN for fewer than two blocks; SciPy's from three methods on.

    With two methods it is the sign test, whose statistic SciPy refuses (the chi-square approximation, ties left out).
    """
    n_blocks, n_groups = scores.shape
    if n_blocks < 2 or n_groups < 2:
        return float("nan")
    if (scores == scores[:, :1]).all():
        return 1.0
    if n_groups == 2:
        signs = np.sign(scores[:, 0] - scores[:, 1])
        return float(stats.chi2.sf(signs.sum() ** 2 / np.abs(signs).sum(), 1))
    return float(stats.friedmanchisquare(*scores.T).pvalue)


def ranked(scores: Float[np.ndarray, "group block"], groups: Sequence[int]) -> Ranks:
    """Rank these groups within each block; more is better."""
    ranks = stats.rankdata(-scores, axis=0).T if len(scores) else np.empty((0, 0))
    return Ranks(
        groups=list(groups),
        ranks=ranks,
        friedman_p=friedman(scores.T),
        critical_difference=critical_difference(len(scores), scores.shape[1]),
    )


def within(units: Units) -> Ranks:
    """Rank the methods of one network within each sample."""
    groups = np.flatnonzero(units.ranked)
    scores = (
        sample_means(units.distinct[groups])
        if len(groups)
        else np.empty((0, units.scores.shape[1]))
    )
    return ranked(scores, groups.tolist())


def table(units: Units, found: Ranks) -> pd.DataFrame:
    """Return one row for each method that is ranked on one network, then one for each control, where it would stand.

    The mean rank of a control is the one it would have if it alone took part beside the methods; it is in no test.
    """
    if not found.groups:
        return pd.DataFrame(columns=list(RANKING))
    n_units = len(found.ranks)
    times = counts(units.key, n_units, N_RESAMPLES)
    rows = _rows(found, percentile_interval(resampled_means(found.ranks, times), n_units))
    named = _named(rows, [units.members[group] for group in found.groups], set(_methods(units)))
    parts = [named.assign(is_control=False), *_apart(units, found, times)]
    whole = pd.concat(parts, ignore_index=True)
    whole = whole.assign(
        friedman_p=found.friedman_p, critical_difference=found.critical_difference, n_units=n_units
    )
    return whole.assign(**dict(zip(PLACE, units.place, strict=True)))[list(RANKING)]


def _apart(
    units: Units, found: Ranks, times: Float[np.ndarray, "resample block"]
) -> list[pd.DataFrame]:
    """Return the rows of the controls that have all their scores: ranked within each sample among the methods."""
    scores = sample_means(units.distinct)
    rows = []
    for name, group in zip(units.methods, units.group, strict=True):
        own = scores[group]
        if name in _methods(units) or not np.isfinite(own).all():
            continue
        ranks = 1 + (scores[found.groups] > own).sum(0) + (scores[found.groups] == own).sum(0) / 2
        low, high = percentile_interval(resampled_means(ranks[:, None], times), len(ranks))
        low, high = (np.clip(end, 1, len(found.groups) + 1) for end in (low, high))
        spread = {"mean_rank": ranks.mean(), "rank_low": low, "rank_high": high}
        rows.append(
            pd.DataFrame(
                {
                    "method": name,
                    **spread,
                    "letters": "",
                    "tied_with_best": False,
                    "is_control": True,
                }
            )
        )
    return rows


def _rows(found: Ranks, ends: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    """Return one row per group; intervals stay within the possible ranks."""
    best = int(np.argmin(found.mean))
    return pd.DataFrame(
        {
            "mean_rank": found.mean,
            "rank_low": np.clip(ends[0], 1, len(found.groups)),
            "rank_high": np.clip(ends[1], 1, len(found.groups)),
            "letters": found.letters,
            "tied_with_best": found.near[best],
            "friedman_p": found.friedman_p,
            "critical_difference": found.critical_difference,
        }
    )


def _named(rows: pd.DataFrame, members: list[list[str]], methods: set[str]) -> pd.DataFrame:
    """Return the rows once for each method of its group."""
    names = [[name for name in group if name in methods] for group in members]
    return (
        rows.assign(method=pd.Series(names))
        .explode("method")
        .sort_values("method", kind="stable")
        .reset_index(drop=True)
    )


def _methods(units: Units) -> list[str]:
    """Return the names that are no controls."""
    return [
        name for name, control in zip(units.methods, units.is_control, strict=True) if not control
    ]


# --- over networks --------------------------------------------------------------------------------------------------


def overall(every: Sequence[Units]) -> pd.DataFrame:
    """Return the ranking over networks by one metric.

    Not every method applies everywhere, and ranks need a complete table: it is the set of networks for which
    (different methods that have all scores on each) x (networks) is largest; of equals, that with more networks. A
    method's rank on a network is that of its mean rank over samples there.

    Intervals come from a bootstrap of networks and, within each, of samples. Few networks make them wide, as they
    should be.

    Args:
        every: one entry per network, of one metric; those on which the metric is informative.
    """
    tables = {at: dict(_complete(units)) for at, units in enumerate(every)}
    chosen, names = _largest(tables)
    if not names:
        return pd.DataFrame(columns=list(OVERALL))
    members: dict[tuple[int, ...], list[str]] = {}
    for name in names:
        members.setdefault(tuple(tables[at][name] for at in chosen), []).append(name)
    scores, resampled = [], []
    for place, at in enumerate(chosen):
        groups = [key[place] for key in members]
        here = ranked(sample_means(every[at].distinct[groups]), groups)
        times = counts(every[at].key, len(here.ranks), N_RESAMPLES)
        scores.append(here.mean)
        resampled.append(stats.rankdata(resampled_means(here.ranks, times), axis=1))
    found = ranked(-np.array(scores).T, range(len(members)))
    picked = draws("networks", len(chosen), N_RESAMPLES)
    step = N_RESAMPLES // len(
        chosen
    )  # a network that is picked twice is seen with two different sets of samples
    of = [(np.arange(N_RESAMPLES) + slot * step) % N_RESAMPLES for slot in range(len(chosen))]
    means = np.mean(
        [np.array(resampled)[picked[:, slot], rows] for slot, rows in enumerate(of)], axis=0
    )
    edge = (1 - CONFIDENCE) / 2
    rows = _rows(found, tuple(np.quantile(means, [edge, 1 - edge], axis=0)))
    where = ", ".join(every[at].key for at in chosen)
    named = _named(rows, list(members.values()), set(names))
    named = named.assign(metric=every[0].place[2], n_networks=len(chosen), networks=where)
    return named[list(OVERALL)]


def _complete(units: Units) -> list[tuple[str, int]]:
    """Return the names of the ranked methods of a network, with their groups."""
    allowed, ours = set(np.flatnonzero(units.ranked)), set(_methods(units))
    return [
        (name, int(group))
        for name, group in zip(units.methods, units.group, strict=True)
        if name in ours and group in allowed
    ]


def _largest(tables: dict[int, dict[str, int]]) -> tuple[tuple[int, ...], list[str]]:
    """Return the networks and methods of the largest complete table of at least two networks and two methods."""
    best: tuple[int, int, tuple[int, ...], list[str]] = (0, 0, (), [])
    for size in range(len(tables), 1, -1):
        for chosen in combinations(tables, size):
            names = sorted(set.intersection(*(set(tables[at]) for at in chosen)))
            n_groups = len({tuple(tables[at][name] for at in chosen) for name in names})
            if n_groups > 1 and (n_groups * size, size) > best[:2]:
                best = (n_groups * size, size, chosen, names)
    return best[2], best[3]

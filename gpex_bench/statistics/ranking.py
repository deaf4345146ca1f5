"""Rankings of the methods on one network and over networks, with intervals and tests.

Ranks are taken within a sample (1 is best, equal scores share a rank) over the different methods
that have all their scores; controls are left out, and methods with the same scores are ranked once.
Friedman's test (friedman1937use) asks whether the methods differ at all; where it does not reject,
nothing is separated. Nemenyi's critical difference (demsar2006statistical) is what a
critical-difference diagram draws. It depends on which methods take part, so that the verdicts of
the tables come from the paired tests in `pairs`, as benavoli2016should advise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy import stats

from gpex_bench.statistics.bootstrap import counts, draws, percentile_interval, resampled_means
from gpex_bench.statistics.units import Units, sample_means
from gpex_bench.tables.columns import CONFIDENCE, LEVEL, OVERALL, PLACE, RANKING
from gpex_bench.types import value

N_RESAMPLES = 2000
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@value
class Ranks:
    """Ranks of some groups in each block (sample or network), and the results of tests on them."""

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
        """Which groups are not separated: closer than the critical difference.

        None are separated where Friedman's test does not reject.
        """
        if not self.friedman_p < LEVEL:
            return np.ones((len(self.groups), len(self.groups)), dtype=bool)
        return np.abs(self.mean[:, None] - self.mean[None]) < self.critical_difference

    @property
    def letters(self) -> list[str]:
        """Letters of each group: two groups share one unless they are separated.

        "a" is the best set.
        """
        # A set is a run of the groups in order, from its best group to the last one near it.
        order = np.argsort(self.mean, kind="stable")
        near = self.near[order][:, order]
        reach = np.array([np.flatnonzero(row).max() for row in near])

        # A run inside the one before it is no set of its own.
        places = range(len(order))
        starts = [place for place in places if place == 0 or reach[place] > reach[place - 1]]

        letters = [""] * len(order)
        for number, start in enumerate(starts):
            for place in range(start, reach[start] + 1):
                letters[order[place]] += _letter(number)
        return letters


def _letter(number: int) -> str:
    """Return a, b, ..., z, then A, B, ...; then a2, b2, and so on."""
    turn, place = divmod(number, len(ALPHABET))
    return ALPHABET[place] + (str(turn + 1) if turn else "")


def critical_difference(n_methods: int, n_blocks: int) -> float:
    """Return Nemenyi's critical difference of mean ranks at the 5 % level.

    q sqrt(k (k + 1) / (6 N)) for k methods and N blocks, where q is the quantile of the studentized
    range over sqrt(2) (demsar2006statistical, section 3.2.2).
    """
    if n_methods < 2:
        return float("nan")

    quantile = stats.studentized_range.ppf(1 - LEVEL, n_methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(n_methods * (n_methods + 1) / (6 * n_blocks)))


def friedman(scores: Float[np.ndarray, "block group"]) -> float:
    """Return the p value of Friedman's test; NaN for fewer than two blocks or groups.

    With two groups it is the sign test, whose statistic SciPy refuses (the chi-square
    approximation, ties left out).
    """
    n_blocks, n_groups = scores.shape
    if n_blocks < 2 or n_groups < 2:
        return float("nan")

    is_equal_everywhere = (scores == scores[:, :1]).all()
    if is_equal_everywhere:
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
    if not len(groups):
        return ranked(np.empty((0, units.scores.shape[1])), [])
    return ranked(sample_means(units.distinct[groups]), groups.tolist())


def table(units: Units, ranks: Ranks) -> pd.DataFrame:
    """Return one row for each method that is ranked on one network, then one for each control.

    The mean rank of a control is the one it would have if it alone took part with the methods; it
    is in no test.
    """
    if not ranks.groups:
        return pd.DataFrame(columns=list(RANKING))

    n_units = len(ranks.ranks)
    times = counts(units.key, n_units, N_RESAMPLES)
    ends = percentile_interval(resampled_means(ranks.ranks, times), n_units)
    members = [units.members[group] for group in ranks.groups]
    methods = _by_method(_rows(ranks, ends), members, units.plain)

    parts = [methods.assign(is_control=False), *_controls(units, ranks, times)]
    whole = pd.concat(parts, ignore_index=True).assign(
        friedman_p=ranks.friedman_p,
        critical_difference=ranks.critical_difference,
        n_units=n_units,
        **dict(zip(PLACE, units.place, strict=True)),
    )
    return whole[list(RANKING)]


def _controls(
    units: Units, ranks: Ranks, times: Float[np.ndarray, "resample block"]
) -> list[pd.DataFrame]:
    """Return the rows of the controls that have all their scores: ranked among the methods."""
    scores = sample_means(units.distinct)
    methods = scores[ranks.groups]
    rows = []
    for name, group in zip(units.methods, units.group, strict=True):
        own = scores[group]
        if name in units.plain or not np.isfinite(own).all():
            continue

        # One more than the methods that are better; a tie counts half.
        places = 1 + (methods > own).sum(0) + (methods == own).sum(0) / 2
        low, high = percentile_interval(resampled_means(places[:, None], times), len(places))
        last = len(ranks.groups) + 1
        row = {
            "method": name,
            "mean_rank": places.mean(),
            "rank_low": np.clip(low, 1, last),
            "rank_high": np.clip(high, 1, last),
            "letters": "",
            "tied_with_best": False,
            "is_control": True,
        }
        rows.append(pd.DataFrame(row))
    return rows


def _rows(ranks: Ranks, ends: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    """Return one row per group; intervals stay within the possible ranks."""
    best = int(np.argmin(ranks.mean))
    last = len(ranks.groups)
    return pd.DataFrame(
        {
            "mean_rank": ranks.mean,
            "rank_low": np.clip(ends[0], 1, last),
            "rank_high": np.clip(ends[1], 1, last),
            "letters": ranks.letters,
            "tied_with_best": ranks.near[best],
            "friedman_p": ranks.friedman_p,
            "critical_difference": ranks.critical_difference,
        }
    )


def _by_method(
    rows: pd.DataFrame, members: Sequence[Sequence[str]], methods: Sequence[str]
) -> pd.DataFrame:
    """Return the row of each group once for each of its methods, sorted by name."""
    names = [[name for name in group if name in methods] for group in members]
    by_method = rows.assign(method=pd.Series(names)).explode("method")
    return by_method.sort_values("method", kind="stable").reset_index(drop=True)


# --- over networks --------------------------------------------------------------------------------


def overall(every: Sequence[Units]) -> pd.DataFrame:
    """Return the ranking over networks by one metric.

    Not every method applies everywhere, and ranks need a complete table: it is the set of networks
    for which (different methods that have all scores on each) x (networks) is largest; of equals,
    that with more networks. A method's rank on a network is that of its mean rank over samples
    there.

    Intervals come from a bootstrap of networks and, within each, of samples. Few networks make them
    wide, as they should be.

    Args:
        every: one entry per network, of one metric; those on which the metric is informative.
    """
    groups = [_ranked_groups(units) for units in every]
    chosen, names = _largest(groups)
    if not names:
        return pd.DataFrame(columns=list(OVERALL))

    # Methods that are the same on all networks are one.
    members: dict[tuple[int, ...], list[str]] = {}
    for name in names:
        members.setdefault(tuple(groups[at][name] for at in chosen), []).append(name)

    means, resampled = [], []
    for place, at in enumerate(chosen):
        own = [key[place] for key in members]
        here = ranked(sample_means(every[at].distinct[own]), own)
        times = counts(every[at].key, len(here.ranks), N_RESAMPLES)
        means.append(here.mean)
        resampled.append(stats.rankdata(resampled_means(here.ranks, times), axis=1))

    ranks = ranked(-np.array(means).T, range(len(members)))
    edge = (1 - CONFIDENCE) / 2
    low, high = np.quantile(_resampled_networks(resampled), [edge, 1 - edge], axis=0)

    rows = _by_method(_rows(ranks, (low, high)), list(members.values()), names)
    rows = rows.assign(
        metric=every[0].place[2],
        n_networks=len(chosen),
        networks=", ".join(every[at].key for at in chosen),
    )
    return rows[list(OVERALL)]


def _resampled_networks(
    resampled: Sequence[Float[np.ndarray, "resample group"]],
) -> Float[np.ndarray, "resample group"]:
    """Return the mean rank over networks that are drawn with replacement, in each resample.

    Args:
        resampled: for each network, the ranks of resamples of its samples.
    """
    n_networks = len(resampled)
    picked = draws("networks", n_networks, N_RESAMPLES)

    # A network that is picked twice comes with two different sets of samples.
    step = N_RESAMPLES // n_networks
    slots = []
    for slot in range(n_networks):
        rows = (np.arange(N_RESAMPLES) + slot * step) % N_RESAMPLES
        slots.append(np.array(resampled)[picked[:, slot], rows])
    return np.mean(slots, axis=0)


def _ranked_groups(units: Units) -> dict[str, int]:
    """Return the groups of the ranked methods of a network, by name."""
    allowed, ours = set(np.flatnonzero(units.ranked)), set(units.plain)
    return {
        name: int(group)
        for name, group in zip(units.methods, units.group, strict=True)
        if name in ours and group in allowed
    }


def _largest(groups: Sequence[Mapping[str, int]]) -> tuple[tuple[int, ...], list[str]]:
    """Return the networks and methods of the largest complete table.

    It has at least two networks and two methods; nothing is returned where there is none.

    Args:
        groups: for each network, the groups of its methods by name.
    """
    best_size: tuple[int, int] = (0, 0)
    best: tuple[tuple[int, ...], list[str]] = ((), [])
    for n_networks in range(len(groups), 1, -1):
        for chosen in combinations(range(len(groups)), n_networks):
            names = sorted(set.intersection(*(set(groups[at]) for at in chosen)))
            n_methods = len({tuple(groups[at][name] for at in chosen) for name in names})
            size = (n_methods * n_networks, n_networks)
            if n_methods > 1 and size > best_size:
                best_size, best = size, (chosen, names)
    return best

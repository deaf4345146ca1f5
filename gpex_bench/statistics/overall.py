"""What holds over networks: means and differences with the network as the unit.

With fewer than six networks there is no test and no interval, only the place on each. From six on,
methods are compared by a random-effects model with two levels: networks differ, and those on one
dataset have something in common. The estimate is the mean over datasets of their means over
networks; its interval and its p values are those of a mean over samples (`means`), with datasets in
place of samples; with fewer than six datasets they are Student's. They hold for new datasets,
whatever the share of the dataset in the differences, and errors from samples are in these already.
With one or two datasets nothing can be said of others: the interval then holds for other networks
on these (`LEAST_DATASETS`).

Every two methods are compared on the networks that both have, so that no complete table is needed
and a third method changes nothing but the correction for many comparisons.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from gpex_bench.statistics.headline import Answer, answer, pairs_of, word_of
from gpex_bench.statistics.means import Means, Numbers, means
from gpex_bench.statistics.pairs import Comparison, families
from gpex_bench.statistics.ranking import places
from gpex_bench.statistics.units import Units, sample_means
from gpex_bench.tables.columns import OVERALL, OVERALL_PAIRS
from gpex_bench.tables.words import BETTER, WORSE
from gpex_bench.types import value

# With fewer networks there is no test and no interval.
LEAST_NETWORKS = 6
# With fewer datasets, they are taken as given.
LEAST_DATASETS = 3

ALL = "all"


@value
class OnNetwork:
    """What is known of the methods on one network by one metric."""

    block: Units
    comparison: Comparison
    words: np.ndarray  # what is said of each two groups there
    kind: str  # of data: images or tables; may be empty

    @property
    def network(self) -> str:
        """Its name: dataset/model."""
        return self.block.key


@value
class Across:
    """Means over networks, one a column; NaN with fewer than `LEAST_NETWORKS`."""

    means: Means
    n_networks: Int[np.ndarray, "column"]
    n_datasets: Int[np.ndarray, "column"]

    @property
    def p_value(self) -> Numbers:
        """Two-sided p values of "the mean is 0"; 1 where it is not known."""
        above, below = self.means.tails(0.0)
        return self._known(2 * np.minimum(above, below))

    def beyond(self, margin: Numbers) -> tuple[Numbers, Numbers]:
        """Return p values as `Means.beyond` does; 1 where the mean is not known."""
        above, _ = self.means.tails(-margin)
        _, below = self.means.tails(margin)
        return self._known(2 * above), self._known(2 * below)

    def _known(self, p_value: Numbers) -> Numbers:
        return np.where(np.isfinite(self.means.mean), np.minimum(p_value, 1.0), 1.0)


def across(
    values: Float[np.ndarray, "network column"], dataset: Int[np.ndarray, "network"]
) -> Across:
    """Return the mean over networks of each column, and what its distribution is like.

    Args:
        values: one number for each network; NaN where there is none.
        dataset: number of the dataset of each network.
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    is_of = (dataset == np.unique(dataset)[:, None]).astype(float)

    # The mean of each dataset, and the mean of these.
    n_of = is_of @ known
    of_dataset = np.where(n_of > 0, is_of @ filled / np.maximum(n_of, 1), np.nan)
    between = means(of_dataset.T)
    n_networks = known.sum(0)
    n_datasets = between.n.astype(np.int64)

    # On one dataset its networks are the units.
    single = means(values.T)
    is_single = n_datasets == 1

    # On two, what differs within them.
    rest = np.where(known, values - is_of.T @ np.nan_to_num(of_dataset), 0.0)
    degrees = n_networks - n_datasets
    variance = (rest**2).sum(0) / np.maximum(degrees, 1)
    shares = np.where(n_of > 0, 1 / np.maximum(n_of, 1), 0.0).sum(0)
    within = np.sqrt(variance * shares) / np.maximum(n_datasets, 1)

    is_enough = n_networks >= LEAST_NETWORKS
    are_many = n_datasets >= LEAST_DATASETS
    # Of fewer datasets than networks that are asked for, the skewness cannot be told: Student's t.
    is_lean_known = n_datasets >= LEAST_NETWORKS
    as_students = np.where(are_many, n_datasets - 1, np.maximum(degrees, 1))

    units = [is_single, is_lean_known]
    found = replace(
        between,
        mean=np.where(is_enough, between.mean, np.nan),
        error=np.select([is_single, are_many], [single.error, between.error], within),
        lean=np.select(units, [single.lean, between.lean], 0.0),
        degrees=np.select(units, [single.degrees, between.degrees], as_students),
        n=n_networks.astype(float),
    )
    return Across(means=found, n_networks=n_networks, n_datasets=n_datasets)


@value
class Compared:
    """The differences of each two groups over networks."""

    comparison: Comparison
    n_datasets: Int[np.ndarray, "group group"]
    # On how many networks the first is better, and worse.
    n_better: Int[np.ndarray, "group group"]
    n_worse: Int[np.ndarray, "group group"]


# --- one metric -----------------------------------------------------------------------------------


def tables(every: Sequence[OnNetwork], blind: Collection[str]) -> dict[str, pd.DataFrame]:
    """Return the tables `overall` and `overall_pairs` of one metric.

    Args:
        every: one entry a network, of one metric.
        blind: controls that look neither at the network nor at a truth.
    """
    methods, pairs = [], []
    for scope, networks, names in scopes(every):
        block = stacked(networks, names)
        over = across(block.scores[:, :, 0].T, _datasets(networks))
        rows = _places(scope, networks, block, over)

        # Who has too few networks is in no comparison.
        is_in = over.n_networks >= LEAST_NETWORKS
        enough = [name for name, is_enough in zip(names, is_in, strict=True) if is_enough]
        inside = stacked(networks, enough)
        if len(inside.methods):
            found = compare(networks, inside)
            said = answer(inside, [found.comparison], blind)
            rows = _answered(rows, inside, said)
            pairs.append(_pairs(scope, inside, found, said))
        methods.append(rows)

    nothing = pd.DataFrame(columns=list(OVERALL_PAIRS))
    every_pair = pd.concat(pairs, ignore_index=True) if pairs else nothing
    return {
        "overall": pd.concat(methods, ignore_index=True)[list(OVERALL)],
        "overall_pairs": every_pair[list(OVERALL_PAIRS)],
    }


def scopes(every: Sequence[OnNetwork]) -> Iterator[tuple[str, list[OnNetwork], list[str]]]:
    """Yield each scope: its name, its networks, and its methods.

    All networks, with the methods that are scored on every kind of data; and where there are
    several kinds, each of them.
    """
    kinds = sorted({one.kind for one in every})
    of_kind = {kind: [one for one in every if one.kind == kind] for kind in kinds}
    names = {
        kind: set().union(*(one.block.methods for one in networks))
        for kind, networks in of_kind.items()
    }

    yield ALL, list(every), sorted(set.intersection(*names.values()))
    if len(kinds) > 1:
        for kind, networks in of_kind.items():
            yield kind, networks, sorted(names[kind])


def stacked(networks: Sequence[OnNetwork], names: Sequence[str]) -> Units:
    """Return the mean scores of some methods, with a network in place of a sample.

    Methods that are the same on all networks are one group.
    """
    scores = np.full((len(names), len(networks), 1), np.nan)
    group = np.full((len(names), len(networks)), -1)
    is_control = np.zeros(len(names), dtype=bool)
    for place, one in enumerate(networks):
        means = _means(one.block)
        for at, name in enumerate(names):
            if name in one.block.methods:
                here = one.block.methods.index(name)
                scores[at, place, 0] = means[here]
                group[at, place] = one.block.group[here]
                is_control[at] = one.block.is_control[here]

    _, number = np.unique(group, axis=0, return_inverse=True)
    first = networks[0].block
    return Units(
        place=("", "", first.place[2]),
        scale=first.scale,
        methods=tuple(names),
        is_control=is_control,
        scores=scores,
        measured=scores * first.sign,
        group=number.reshape(-1).astype(np.int64),
    )


def _means(block: Units) -> Float[np.ndarray, "method"]:
    """Return the mean score of each method, turned so that more is better."""
    by_sample = sample_means(block.distinct)
    known = np.isfinite(by_sample)
    total = np.where(known, by_sample, 0.0).sum(1)
    return (total / np.maximum(known.sum(1), 1))[block.group]


def _datasets(networks: Sequence[OnNetwork]) -> Int[np.ndarray, "network"]:
    """Return the number of the dataset of each network."""
    _, number = np.unique([one.block.place[0] for one in networks], return_inverse=True)
    return number


def compare(networks: Sequence[OnNetwork], block: Units) -> Compared:
    """Compare every two groups on the networks that both have.

    Args:
        networks: with their own comparisons.
        block: the methods and their groups over networks (`stacked`).
    """
    gaps = _squares(networks, block, [one.comparison.estimate for one in networks])
    margins = _squares(networks, block, [one.comparison.margin for one in networks])
    is_better = _squares(networks, block, [(one.words == BETTER) * 1.0 for one in networks])
    is_worse = _squares(networks, block, [(one.words == WORSE) * 1.0 for one in networks])

    n_groups = block.n_groups
    square = (n_groups, n_groups)
    found = across(gaps.reshape(len(networks), -1), _datasets(networks))
    known = np.isfinite(margins).sum(0)
    margin = np.nansum(margins, 0) / np.maximum(known, 1)
    low, high = found.means.interval
    p_worse, p_better = (one.reshape(square) for one in found.beyond(margin.ravel()))
    # A group is equal to itself.
    np.fill_diagonal(p_worse, 0.0)
    np.fill_diagonal(p_better, 0.0)
    mean = found.means.mean.reshape(square)
    has_sign = np.sign(gaps) == np.sign(mean)

    comparison = Comparison(
        estimate=mean,
        low=low.reshape(square),
        high=high.reshape(square),
        margin=margin,
        p_value=found.p_value.reshape(square),
        p_equal=np.maximum(p_worse, p_better),
        p_worse=p_worse,
        n_units=found.n_networks.reshape(square).astype(float),
        seeds=has_sign.sum(0) / np.maximum(known, 1),
    )
    return Compared(
        comparison=comparison,
        n_datasets=found.n_datasets.reshape(square),
        n_better=np.nansum(is_better, 0).astype(int),
        n_worse=np.nansum(is_worse, 0).astype(int),
    )


def _squares(
    networks: Sequence[OnNetwork], block: Units, squares: Sequence[np.ndarray]
) -> Float[np.ndarray, "network group group"]:
    """Return a number for each network and each two groups over networks; NaN where one lacks.

    Args:
        networks: of the squares.
        block: the groups over networks.
        squares: a number for each two groups of each network.
    """
    first_of = [members[0] for members in block.members]
    n_groups = len(first_of)
    found = np.full((len(networks), n_groups, n_groups), np.nan)

    for place, (one, square) in enumerate(zip(networks, squares, strict=True)):
        group_of = dict(zip(one.block.methods, one.block.group, strict=True))
        here = [at for at, name in enumerate(first_of) if name in group_of]
        group = [group_of[first_of[at]] for at in here]
        found[place][np.ix_(here, here)] = square[np.ix_(group, group)]
    return found


# --- rows -----------------------------------------------------------------------------------------


def _places(scope: str, networks: Sequence[OnNetwork], block: Units, over: Across) -> pd.DataFrame:
    """Return one row for each method and control: its means and its place on each network."""
    low, high = over.means.interval
    ends = np.sort(np.stack([low, high]) * block.sign, axis=0)
    rows = pd.DataFrame(
        {
            "method": block.methods,
            "mean": over.means.mean * block.sign,
            "low": ends[0],
            "high": ends[1],
            "n_networks": over.n_networks,
            "n_datasets": over.n_datasets,
            "is_control": block.is_control,
        }
    )
    place = {
        one.network: dict(zip(one.block.methods, places(one.block), strict=True))
        for one in networks
    }

    named, numbers = [], []
    for name in block.methods:
        own = {network: at[name] for network, at in place.items() if name in at}
        named.append(", ".join(own))
        numbers.append(", ".join(map(str, own.values())))

    return rows.assign(
        scope=scope,
        metric=block.place[2],
        networks=named,
        places=numbers,
        answer="",
        beaten_by="",
    )


def _answered(rows: pd.DataFrame, block: Units, said: Answer) -> pd.DataFrame:
    """Return the rows with what is said of the methods that were compared."""
    labels = [block.label(group) for group in range(block.n_groups)]
    answers, beaten_by = {}, {}
    for name, group, is_control in zip(block.methods, block.group, block.is_control, strict=True):
        rivals = [labels[rival] for rival in said.beaten_by[group]]
        beaten_by[name] = ", ".join(rivals)
        answers[name] = "" if is_control else word_of(bool(said.leads[group]), rivals)
    return rows.assign(
        answer=rows["method"].map(answers).fillna(""),
        beaten_by=rows["method"].map(beaten_by).fillna(""),
    )


def _pairs(scope: str, block: Units, found: Compared, said: Answer) -> pd.DataFrame:
    """Return one row for each two methods, and for each method and control (then `other`)."""
    first, second = np.array(pairs_of(block), dtype=int).reshape(-1, 2).T
    at = (block.group[first], block.group[second])
    names = np.array(block.methods, dtype=object)

    known = found.comparison
    rows = pd.DataFrame(
        {
            "scope": scope,
            "metric": block.place[2],
            "method": names[first],
            "other": names[second],
            "mean_difference": known.estimate[at],
            "low": known.low[at],
            "high": known.high[at],
            "margin": known.margin[at],
            "p_value": known.p_value[at],
            "p_holm": families(block, known)[at],
            "p_equal": families(block, known, known.p_equal)[at],
            "verdict": said.words[at],
            "n_networks": known.n_units[at].astype(int),
            "n_datasets": found.n_datasets[at],
            "n_better": found.n_better[at],
            "n_worse": found.n_worse[at],
            "is_control": block.is_control[second],
        }
    )
    is_compared = rows["n_networks"] >= LEAST_NETWORKS
    return rows[is_compared]

"""The scores of one dataset, network and metric as an array, and which methods in it are the same.

The unit of all tests is the sample: a sample's score is its mean over targets and training seeds.
The same sample under three trainings is not three independent observations, so the seeds are kept
together. Methods are compared sample by sample on the seeds that they share.

Methods with the same scores are one entry of every ranking, and every correction for many
comparisons counts them once: a copy under another name changes nothing.

Rounding decides nothing. What is closer than rounding can tell is made equal here and nowhere else
(`rounded`), so that ranks, tests and groups all see the same ties.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.sparse.csgraph import connected_components

from gpex_bench.tables.columns import PLACE
from gpex_bench.tables.order import groups
from gpex_bench.types import value

# Of a typical score: float32 passes leave differences of this size between equal maps.
RESOLUTION = 1e-6
# Scores that are closer, relative to their size, are one score.
ROUNDING = 1e-9
# The smallest difference that matters where a metric states none: a share of the standard deviation
# of the two methods' scores over samples.
MARGIN_OF_SPREAD = 0.1


@value
class Scale:
    """What the scores of a metric mean."""

    higher_is_better: bool
    #: the smallest difference that matters; None: `MARGIN_OF_SPREAD` of the two methods' spread
    margin: float | None = None
    #: scores, and differences, of this size or smaller are 0 up to rounding
    resolution: float = 0.0
    #: how far two scores can be apart
    width: float = math.inf

    @property
    def sign(self) -> int:
        """1 if a higher score is better, else -1."""
        return 1 if self.higher_is_better else -1

    @property
    def free_width(self) -> float:
        """How far unseen scores can be from seen ones; not at all where all are 0 but rounding."""
        return self.width if self.resolution == 0 else math.inf


def scale_of(record: Mapping[str, Any]) -> Scale:
    """Return what the scores of a metric mean, by its record (`plugins.cards.metric_card`)."""
    low, high = record.get("range", (-math.inf, math.inf))
    return Scale(
        higher_is_better=bool(record["higher_is_better"]),
        margin=record.get("margin"),
        resolution=record.get("resolution", 0.0),
        width=high - low,
    )


@value
class Units:
    """The scores of one dataset, network and metric, turned so that more is better."""

    place: tuple[str, str, str]
    scale: Scale
    methods: tuple[str, ...]
    is_control: Bool[np.ndarray, "method"]
    #: times the sign, with ties as `rounded` makes them; NaN where there is none
    scores: Float[np.ndarray, "method sample seed"]
    measured: Float[np.ndarray, "method sample seed"]  # as they came
    group: Int[np.ndarray, "method"]  # methods of one group have the same scores

    @property
    def sign(self) -> int:
        """1 if a higher score is better, else -1."""
        return self.scale.sign

    @property
    def key(self) -> str:
        """What bootstrap draws depend on: the network, not the metric or the methods."""
        return f"{self.place[0]}/{self.place[1]}"

    @property
    def n_groups(self) -> int:
        """How many different methods there are."""
        return int(self.group.max()) + 1 if len(self.group) else 0

    @property
    def members(self) -> list[list[str]]:
        """The names in each group."""
        names: list[list[str]] = [[] for _ in range(self.n_groups)]
        for method, group in zip(self.methods, self.group, strict=True):
            names[group].append(method)
        return names

    @property
    def plain(self) -> list[str]:
        """The names of the methods that are no controls."""
        pairs = zip(self.methods, self.is_control, strict=True)
        return [name for name, is_control in pairs if not is_control]

    def label(self, group: int) -> str:
        """Return how a group of methods is called: its members that are no controls, or all."""
        members = self.members[group]
        is_control = dict(zip(self.methods, self.is_control, strict=True))
        plain = [name for name in members if not is_control[name]]
        return " = ".join(plain or members)

    @property
    def distinct(self) -> Float[np.ndarray, "group sample seed"]:
        """The scores of each group: the lowest of its members, which a copy does not change."""
        groups = range(self.n_groups)
        lowest = [self.scores[self.group == group].min(0) for group in groups]
        return np.stack(lowest)

    @property
    def has_method(self) -> Bool[np.ndarray, "group"]:
        """Which groups have a member that is no control."""
        return np.bincount(self.group, ~self.is_control, minlength=self.n_groups) > 0

    @property
    def has_control(self) -> Bool[np.ndarray, "group"]:
        """Which groups have a member that is a control."""
        return np.bincount(self.group, self.is_control, minlength=self.n_groups) > 0

    @property
    def ranked(self) -> Bool[np.ndarray, "group"]:
        """Which groups enter rankings: those with a method, and without a missing score."""
        return self.has_method & np.isfinite(self.distinct).all((1, 2))

    def without(self, names: Collection[str]) -> Units:
        """Return the scores of all other methods."""
        is_kept = ~np.isin(self.methods, sorted(names))
        if is_kept.all():
            return self

        kept = tuple(name for name, kept in zip(self.methods, is_kept, strict=True) if kept)
        _, group = np.unique(self.group[is_kept], return_inverse=True)
        return replace(
            self,
            methods=kept,
            is_control=self.is_control[is_kept],
            scores=self.scores[is_kept],
            measured=self.measured[is_kept],
            group=group,
        )

    def groups_of(self, names: Collection[str]) -> list[int]:
        """Return the groups of these methods, each once; names without scores are left out."""
        of_method = zip(self.methods, self.group, strict=True)
        wanted = {int(group) for name, group in of_method if name in names}
        return sorted(wanted)


def sample_means(scores: Float[np.ndarray, "row sample seed"]) -> Float[np.ndarray, "row sample"]:
    """Return the mean over the last axis, the seeds that are there; NaN where there is none."""
    known = np.isfinite(scores)
    n_known = known.sum(2)
    total = np.where(known, scores, 0.0).sum(2)

    means = total / np.maximum(n_known, 1)
    return np.where(n_known > 0, means, np.nan)


def rounded(
    scores: Float[np.ndarray, "method ..."], resolution: float = 0.0
) -> Float[np.ndarray, "method ..."]:
    """Return the scores with those made equal that rounding alone can have made differ.

    Scores of the resolution or smaller become 0. Then the scores of each sample and seed are put in
    order, and each that is within `ROUNDING` of the one below it becomes that one. Gaps decide, and
    no grid, so that no score is near an edge where its last bit would count.
    """
    if not len(scores):
        return scores
    is_zero = np.abs(scores) <= resolution
    scores = np.where(is_zero, 0.0, scores)

    order = np.argsort(scores, axis=0, kind="stable")
    in_order = np.take_along_axis(scores, order, axis=0)
    gaps = np.diff(in_order, axis=0, prepend=-np.inf)
    is_new = ~(gaps <= ROUNDING * np.abs(in_order))

    # Each score takes the last new one up to its place.
    place = np.arange(len(scores)).reshape(-1, *[1] * (scores.ndim - 1))
    start = np.maximum.accumulate(np.where(is_new, place, 0), axis=0)
    values = np.take_along_axis(in_order, start, axis=0)

    result = np.empty_like(scores)
    np.put_along_axis(result, order, values, axis=0)
    return result


def same(
    scores: Float[np.ndarray, "method sample seed"], resolution: float = 0.0
) -> Int[np.ndarray, "method"]:
    """Return a group number for each method; methods with the same scores share it.

    Two methods are the same if they have scores in the same places, and no two of them differ by
    more than the resolution of the metric, or by more than `RESOLUTION` times the smaller typical
    score. So is everything between them.
    """
    flat = scores.reshape(len(scores), -1)
    known = np.isfinite(flat)
    flat = np.where(known, flat, 0.0)

    rows = zip(flat, known, strict=True)
    typical = np.array([_typical(row[is_known]) for row, is_known in rows])
    smaller = np.minimum(typical[:, None], typical[None])

    gaps = np.abs(flat[:, None] - flat[None])
    is_close = gaps.max(2) <= np.maximum(resolution, RESOLUTION * smaller)
    in_same_places = (known[:, None] == known[None]).all(2)

    # Methods are the same through a third one too.
    is_same = is_close & in_same_places
    _, group = connected_components(is_same, directed=False)
    return group.astype(np.int64)


def _typical(scores: Float[np.ndarray, "known"]) -> float:
    """Return the size of a typical score."""
    if not len(scores):
        return 0.0
    return float(np.median(np.abs(scores)))


def units(
    scores: pd.DataFrame, scales: Mapping[str, Scale | bool], controls: Collection[str] = ()
) -> Iterator[Units]:
    """Yield the scores of each dataset, network and metric.

    Args:
        scores: one row per dataset, model, seed, method, metric, sample (and target).
        scales: what the scores of each metric mean, or only whether more is better.
        controls: run ids of the controls.
    """
    for place, part in groups(scores, PLACE):
        given = scales[place[2]]
        scale = given if isinstance(given, Scale) else Scale(higher_is_better=bool(given))
        methods, measured = _cube(part)
        cube = rounded(scale.sign * measured, scale.resolution)
        yield Units(
            place=place,
            scale=scale,
            methods=methods,
            is_control=np.isin(methods, list(controls)),
            scores=cube,
            measured=measured,
            group=same(cube, scale.resolution),
        )


def _cube(
    part: pd.DataFrame,
) -> tuple[tuple[str, ...], Float[np.ndarray, "method sample seed"]]:
    """Return the methods, and the mean score over targets of each sample and seed."""
    method, methods = pd.factorize(part["method"], sort=True)
    sample, samples = pd.factorize(part["sample"], sort=True)
    seed, seeds = pd.factorize(part["seed"], sort=True)
    shape = (len(methods), len(samples), len(seeds))
    size = math.prod(shape)

    cell = np.ravel_multi_index((method, sample, seed), shape)
    n_rows = np.bincount(cell, minlength=size)
    total = np.bincount(cell, part["score"].to_numpy(float), minlength=size)

    means = total / np.maximum(n_rows, 1)
    known_means = np.where(n_rows > 0, means, np.nan)
    names = tuple(str(name) for name in methods)
    return names, known_means.reshape(shape)

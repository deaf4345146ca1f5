"""How far a metric's answer depends on its fill and its output, and what changed between two runs."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from gpex_bench.statistics.intervals import intervals
from gpex_bench.statistics.ranking import N_RESAMPLES
from gpex_bench.statistics.units import units
from gpex_bench.tables.frames import VARIANT_SCORES, groups, require

VARIANTS = ("dataset", "model", "method", "metric", "fill", "output", "mean", "low", "high")
PAIR = ("fill", "output", "other_fill", "other_output")
AGREEMENT = (
    "dataset",
    "model",
    "metric",
    *PAIR,
    "tau",
    "n_methods",
    "tau_with_controls",
    "n_with_controls",
)


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean and 95 % interval of each method under each fill and output (samples as units, seeds averaged)."""
    require(scores, VARIANT_SCORES, "variant scores")
    place = ["dataset", "model", "metric", "fill", "output"]
    frames = []
    for at, part in groups(scores, place):
        (block,) = units(part, {at[2]: True})
        frames.append(intervals(block, N_RESAMPLES).assign(**dict(zip(place, at, strict=True))))
    return (
        pd.concat(frames, ignore_index=True)[list(VARIANTS)]
        if frames
        else pd.DataFrame(columns=list(VARIANTS))
    )


def agreement(variants: pd.DataFrame, controls: Collection[str] = ()) -> pd.DataFrame:
    """Return Kendall's tau-b between the rankings of the methods under each two variants of a metric.

    `tau` is over the methods that both variants scored, without controls; `tau_with_controls` over all. NaN for
    fewer than two methods, or where all are equal.
    """
    require(variants, VARIANTS, "variants")
    rows = []
    for place, part in groups(variants, ["dataset", "model", "metric"]):
        means = part.pivot(index="method", columns=["fill", "output"], values="mean").sort_index(
            axis=1
        )
        plain = ~means.index.isin(list(controls))
        columns = list(zip(means.columns, means.to_numpy().T, strict=True))
        for (a, one), (b, other) in combinations(columns, 2):
            known = np.isfinite(one) & np.isfinite(other)
            ours = known & plain
            taus = (
                _tau(one[ours], other[ours]),
                ours.sum(),
                _tau(one[known], other[known]),
                known.sum(),
            )
            rows.append((*place, *a, *b, *taus))
    return pd.DataFrame(rows, columns=list(AGREEMENT))


def _tau(one: np.ndarray, other: np.ndarray) -> float:
    """Return Kendall's tau-b of two columns; NaN for fewer than two numbers, or where all are equal."""
    if len(one) < 2 or (one == one[0]).all() or (other == other[0]).all():
        return float("nan")
    return float(stats.kendalltau(one, other).statistic)


def compare(outcomes_a: pd.DataFrame, outcomes_b: pd.DataFrame) -> pd.DataFrame:
    """Return what differs between two runs: one row for each number, state or mark that is not the same in both.

    `change` is b - a; `is_beyond_intervals` says whether it is more than the two intervals explain together, that is
    more than the root of the sum of their squared half widths, as for independent samples. Two runs on the same samples
    move less than that by chance. `kind` is number, state, mark, only_a or only_b; a number counts as moved from a
    relative change of 1e-6 on.
    """
    key = ["dataset", "model", "method", "metric"]
    needed = [*key, "mean", "low", "high", "state", "mark"]
    a, b = (
        require(frame, needed, name)[needed]
        for frame, name in ((outcomes_a, "a"), (outcomes_b, "b"))
    )
    both = a.merge(b, on=key, how="outer", suffixes=("_a", "_b"), indicator=True)
    change = both["mean_b"] - both["mean_a"]
    half_a, half_b = ((both[f"high_{run}"] - both[f"low_{run}"]) / 2 for run in "ab")
    both["change"] = change
    both["is_beyond_intervals"] = change.abs() > np.sqrt(half_a**2 + half_b**2)
    moved = ~np.isclose(both["mean_a"], both["mean_b"], rtol=1e-6, atol=1e-12, equal_nan=True)
    kinds = [
        both["_merge"] == "left_only",
        both["_merge"] == "right_only",
        both["state_a"] != both["state_b"],
        moved,
    ]
    both["kind"] = np.select(kinds, ["only_a", "only_b", "state", "number"], default="")
    both.loc[(both["kind"] == "") & (both["mark_a"] != both["mark_b"]), "kind"] = "mark"
    return both[both["kind"] != ""].drop(columns="_merge").reset_index(drop=True)

"""How far a metric's answer depends on its fill and its output."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from gpex_bench.statistics.intervals import intervals
from gpex_bench.statistics.ranking import N_RESAMPLES
from gpex_bench.statistics.units import units
from gpex_bench.tables.columns import FILL_AGREEMENT, VARIANT_SCORES, VARIANTS, require
from gpex_bench.tables.order import groups


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
    return pd.DataFrame(rows, columns=list(FILL_AGREEMENT))


def _tau(one: np.ndarray, other: np.ndarray) -> float:
    """Return Kendall's tau-b of two columns; NaN for fewer than two numbers, or where all are equal."""
    if len(one) < 2 or (one == one[0]).all() or (other == other[0]).all():
        return float("nan")
    return float(stats.kendalltau(one, other).statistic)

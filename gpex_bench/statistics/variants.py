"""How far a metric's answer depends on its fill and its output."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from gpex_bench.statistics.intervals import intervals
from gpex_bench.statistics.units import units
from gpex_bench.tables.columns import FILL_AGREEMENT, PLACE, VARIANT_SCORES, VARIANTS, require
from gpex_bench.tables.order import groups


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean and 95 % interval of each method under each fill and output.

    Samples are the units; seeds are averaged.
    """
    require(scores, VARIANT_SCORES, "variant scores")

    keys = [*PLACE, "fill", "output"]
    frames = []
    for place, part in groups(scores, keys):
        # The direction of the metric does not matter for a mean.
        (block,) = units(part, {place[2]: True})
        rows = intervals(block)
        frames.append(rows.assign(**dict(zip(keys, place, strict=True))))

    if not frames:
        return pd.DataFrame(columns=list(VARIANTS))
    return pd.concat(frames, ignore_index=True)[list(VARIANTS)]


def agreement(variants: pd.DataFrame, controls: Collection[str] = ()) -> pd.DataFrame:
    """Return Kendall's tau-b between the rankings of the methods by two variants of a metric.

    `tau` is over the methods that both variants scored, without controls; `tau_with_controls` over
    all. NaN for fewer than two methods, or where all are equal.
    """
    require(variants, VARIANTS, "variants")

    rows = []
    for place, part in groups(variants, PLACE):
        means = part.pivot(index="method", columns=["fill", "output"], values="mean")
        means = means.sort_index(axis=1)
        is_method = ~means.index.isin(list(controls))

        for first, second in combinations(means.columns, 2):
            a, b = means[first].to_numpy(), means[second].to_numpy()
            known = np.isfinite(a) & np.isfinite(b)
            ours = known & is_method
            without = (_tau(a[ours], b[ours]), ours.sum())
            with_controls = (_tau(a[known], b[known]), known.sum())
            rows.append((*place, *first, *second, *without, *with_controls))
    return pd.DataFrame(rows, columns=list(FILL_AGREEMENT))


def _tau(one: np.ndarray, other: np.ndarray) -> float:
    """Return Kendall's tau-b; NaN for fewer than two numbers, or where all are equal."""
    if len(one) < 2 or (one == one[0]).all() or (other == other[0]).all():
        return float("nan")
    return float(stats.kendalltau(one, other).statistic)

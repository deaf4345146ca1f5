"""How the scores of single samples lie: a small histogram and quantiles for each cell of the score tables."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from gpex_bench.tables.columns import PLACE
from gpex_bench.tables.order import groups

N_BINS, HEIGHT, WIDTH = 16, 20, 4  # of a histogram, its bars in units of its view box
COLUMNS = (
    *PLACE,
    "method",
    "n_samples",
    "minimum",
    "q10",
    "median",
    "q90",
    "maximum",
    "left",
    "right",
    "bins",
)


def distributions(scores: pd.DataFrame, wanted: Iterable[tuple[str, str, str]]) -> pd.DataFrame:
    """Return quantiles and counts of the samples' scores (seeds averaged) for each method of some metrics.

    Histograms of one metric on one network share their range, from the 1 % to the 99 % quantile of all its scores;
    what lies outside is counted at the ends.

    Args:
        scores: one row per dataset, model, seed, method, metric, sample (and target).
        wanted: dataset, model and metric of the cells.
    """
    keys = pd.MultiIndex.from_frame(scores[list(PLACE)])
    chosen = scores[keys.isin(list(wanted))]
    mean = chosen.groupby([*PLACE, "method", "sample"])["score"].mean().reset_index()
    rows = []
    for place, part in groups(mean, PLACE):
        left, right = np.quantile(part["score"], [0.01, 0.99])
        for (method,), cell in groups(part, ["method"]):
            values = cell["score"].to_numpy()
            counts, _ = np.histogram(
                values.clip(left, right), bins=N_BINS, range=(left, right or left + 1)
            )
            marks = np.quantile(values, [0, 0.1, 0.5, 0.9, 1])
            rows.append(
                (*place, method, len(values), *marks, left, right, " ".join(map(str, counts)))
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def outline(bins: str) -> str:
    """Return the outline of a histogram as an SVG path, from the counts of its bins."""
    counts = [int(count) for count in bins.split()]
    most = max(*counts, 1)
    heights = [HEIGHT - round(HEIGHT * count / most) for count in counts]
    return f"M0 {HEIGHT}" + "".join(f"V{height}h{WIDTH}" for height in heights) + f"V{HEIGHT}z"

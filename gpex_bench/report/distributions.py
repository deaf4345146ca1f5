"""The scores of single samples: a small histogram and quantiles for each cell of the tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.tables.columns import PLACE
from gpex_bench.tables.order import groups

# Of a histogram: its bins, and its height and the width of a bar in units of its view box.
N_BINS = 16
HEIGHT = 20
WIDTH = 4

QUANTILES = {"minimum": 0.0, "q10": 0.1, "median": 0.5, "q90": 0.9, "maximum": 1.0}
COLUMNS = (*PLACE, "method", "n_samples", *QUANTILES, "left", "right", "bins")


def distributions(scores: pd.DataFrame, wanted: Iterable[tuple[str, str, str]]) -> pd.DataFrame:
    """Return quantiles and a histogram of the samples' scores for each method of some metrics.

    Scores are averaged over seeds. Histograms of one metric on one network share their range, from
    the 1 % to the 99 % quantile of all its scores; what is outside is counted at the ends.

    Args:
        scores: one row per dataset, model, seed, method, metric, sample (and target).
        wanted: dataset, model and metric of the cells.
    """
    places = pd.MultiIndex.from_frame(scores[list(PLACE)])
    chosen = scores[places.isin(list(wanted))]
    by_sample = chosen.groupby([*PLACE, "method", "sample"])
    means = by_sample["score"].mean().reset_index()

    rows = []
    for place, part in groups(means, PLACE):
        key = dict(zip(PLACE, place, strict=True))
        left, right = np.quantile(part["score"], [0.01, 0.99])
        for (method,), cell in groups(part, ["method"]):
            values = cell["score"].to_numpy()
            row = {**key, "method": method, **_distribution(values, left, right)}
            rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _distribution(values: np.ndarray, left: float, right: float) -> dict[str, Any]:
    """Return quantiles and counts of some scores."""
    # A range that ends at 0 is taken one wide: as it is, it may be empty.
    ends = (left, right or left + 1)
    counts, _ = np.histogram(values.clip(left, right), bins=N_BINS, range=ends)
    quantiles = np.quantile(values, list(QUANTILES.values()))

    return {
        "n_samples": len(values),
        **dict(zip(QUANTILES, quantiles, strict=True)),
        "left": left,
        "right": right,
        "bins": " ".join(map(str, counts)),
    }


def outline(bins: str) -> str:
    """Return the outline of a histogram as an SVG path, from the counts of its bins."""
    counts = [int(count) for count in bins.split()]
    largest = max(*counts, 1)

    # The path goes up to the top of each bar and along it; y grows downwards.
    path = f"M0 {HEIGHT}"
    for count in counts:
        top = HEIGHT - round(HEIGHT * count / largest)
        path += f"V{top}h{WIDTH}"
    return f"{path}V{HEIGHT}z"

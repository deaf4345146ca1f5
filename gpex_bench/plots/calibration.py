"""Is a surrogate's variance right? Coverage of intervals, and error against standard deviation.

Variances are the calibrated ones, so that surrogates can be compared; the coverage of those that
the fits gave is drawn beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from gpex_bench.plots.style import (
    COLOURS,
    GREY,
    MARKERS,
    Drawing,
    network_name,
    plain_numbers,
    styled,
)
from gpex_bench.tables.columns import PREDICTIONS, require
from gpex_bench.tables.order import records
from gpex_bench.tables.words import SPLITS

LEVELS = np.array([0.05, *np.arange(0.1, 1, 0.1), 0.95, 0.99])
# standard deviations, and the columns that they are the roots of
VARIANCES = {"doubt": "calibrated_variance", "fitted": "variance"}
N_BINS = 10  # of equal size, from the least to the largest variance


@styled
def calibration(predictions: pd.DataFrame, names: Sequence[str]) -> Drawing:
    """Draw coverage and error of all surrogates of one network, one column a split.

    Args:
        predictions: of one dataset and model, with both variances; seeds and heads together.
        names: the surrogates that have intervals, in the order of the legend.
    """
    require(predictions, (*PREDICTIONS, *VARIANCES.values()), "predictions")
    if len(names) > len(COLOURS):
        raise ValueError(
            f"names must be at most {len(COLOURS)} surrogates, got {len(names)}; "
            "draw them in parts."
        )

    predictions = _standardised(predictions)
    splits = [split for split in SPLITS if split in set(predictions["split"])]
    figure = Figure(figsize=(0.6 + 3.4 * len(splits), 6.9), layout="constrained")
    panels = figure.subplots(2, len(splits), squeeze=False)

    tables = []
    for (above, below), split in zip(panels.T, splits, strict=True):
        of_split = predictions[predictions["split"] == split]
        for place, name in enumerate(names):
            part = of_split[of_split["surrogate"] == name]
            if part.empty:
                continue

            # A surrogate has one colour and marker in all panels.
            look: dict[str, Any] = {"color": COLOURS[place], "marker": MARKERS[place]}
            as_fitted = coverage(part, "fitted")
            above.plot(as_fitted["x"], as_fitted["y"], color=COLOURS[place], lw=0.9, ls=":")
            for axes, points in ((above, coverage(part)), (below, errors(part))):
                axes.plot(points["x"], points["y"], ms=3.5, lw=1.3, label=name, **look)
                tables.append(points.assign(split=split, surrogate=name))
            tables.append(as_fitted.assign(split=split, surrogate=name))
        _frame(above, below, SPLITS[split])

    _legend(figure, panels, names)
    data = pd.concat(tables, ignore_index=True)
    title = f"What the variance is worth on {network_name(predictions)}"
    return Drawing(figure, title, _alt(data, predictions), data)


def _legend(figure: Figure, panels: np.ndarray, names: Sequence[str]) -> None:
    """Name each surrogate once: not every panel has all of them."""
    known: dict[str, Artist] = {}
    for axes in panels.flat:
        handles, labels = axes.get_legend_handles_labels()
        known.update(zip(labels, handles, strict=True))

    shown = [name for name in names if name in known]
    handles = [known[name] for name in shown]
    n_columns = min(len(shown), 6)
    figure.legend(handles, shown, loc="outside upper center", ncols=n_columns)


def _standardised(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return error and both s.d. in units of the s.d. of each head's outputs.

    Constant heads are left out.
    """
    outputs = predictions.groupby(["surrogate", "seed", "split", "head"])["network"]
    spread = outputs.transform("std", ddof=0)
    # Below it the spread of a head is rounding.
    varies = spread > 1e-6 * predictions["network"].abs()

    frame = predictions[varies]
    unit = spread[varies]
    error = (frame["mean"] - frame["network"]).abs()
    doubts = {}
    for name, column in VARIANCES.items():
        sd = frame[column].clip(lower=0) ** 0.5
        doubts[name] = sd / unit
    return frame.assign(error=error / unit, **doubts)


def coverage(part: pd.DataFrame, which: str = "doubt") -> pd.DataFrame:
    """Return the share of outputs inside the central interval of each level.

    Args:
        part: of `_standardised`.
        which: the standard deviation: `doubt` (calibrated) or `fitted`.
    """
    # Half of the central interval of each level, in standard deviations.
    half = stats.norm.ppf((1 + LEVELS) / 2)
    error = part["error"].to_numpy()[:, None]
    doubt = part[which].to_numpy()[:, None]
    inside = error <= half * doubt
    what = "coverage" if which == "doubt" else "coverage as fitted"
    return pd.DataFrame({"what": what, "x": LEVELS, "y": inside.mean(axis=0)})


def errors(part: pd.DataFrame) -> pd.DataFrame:
    """Return root mean squares of s.d. and error of bins of items, ordered by s.d."""
    by_doubt = part.sort_values(["doubt", "error"])
    values = by_doubt[["doubt", "error"]].to_numpy()

    # Fewer items than bins leave empty bins.
    bins = [rows for rows in np.array_split(values, N_BINS) if len(rows)]
    means = []
    for rows in bins:
        mean_square = (rows**2).mean(axis=0)
        means.append(np.sqrt(mean_square))
    x, y = np.array(means).T

    # Both axes are logarithmic.
    is_shown = (x > 0) & (y > 0)
    return pd.DataFrame({"what": "error", "x": x[is_shown], "y": y[is_shown]})


def _frame(above: Axes, below: Axes, split: str) -> None:
    """Draw what a perfect variance gives, and name the axes."""
    above.plot([0, 1], [0, 1], color=GREY, lw=0.9, ls="--", zorder=1)
    above.set(xlim=(0, 1), ylim=(0, 1.02))
    above.set_xlabel("level of the interval")
    above.set_ylabel("share of outputs inside")
    above.set_title(f"{split} items", loc="left")

    below.set(xscale="log", yscale="log")
    below.set_xlabel("predicted s.d. (s.d. of the output)")
    below.set_ylabel("root mean square error")
    plain_numbers(below.xaxis, below.yaxis)

    # The diagonal, over what both axes show.
    left, right = below.get_xlim()
    bottom, top = below.get_ylim()
    ends = [min(left, bottom), max(right, top)]
    below.plot(ends, ends, color=GREY, lw=0.9, ls="--", zorder=1)


def _alt(data: pd.DataFrame, predictions: pd.DataFrame) -> str:
    """Say how many outputs the 90 % intervals hold."""
    at = data[(data["what"] == "coverage") & np.isclose(data["x"], 0.9)]
    shares = [
        f"{row['surrogate']} {row['y']:.2f} on {SPLITS[row['split']]} items" for row in records(at)
    ]
    return (
        "Share of outputs inside intervals of each level, and error against predicted standard "
        f"deviation, on {network_name(predictions)}; dashed: a variance that is right; dotted: "
        f"before calibration. Calibrated 90 % intervals hold: {'; '.join(shares)}."
    )

"""Is a surrogate's variance right? Coverage of intervals, and error against standard deviation."""

from __future__ import annotations

from collections.abc import Sequence

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
N_BINS = 10  # of equal size, from the least to the largest variance


@styled
def calibration(predictions: pd.DataFrame, names: Sequence[str]) -> Drawing:
    """Draw coverage and error of all surrogates of one network, one column a split.

    Args:
        predictions: of one dataset and model, with the variance; seeds and heads together.
        names: the surrogates, in the order of the legend.
    """
    require(predictions, (*PREDICTIONS, "variance"), "predictions")
    if len(names) > len(COLOURS):
        raise ValueError(
            f"names must be at most {len(COLOURS)} surrogates, got {len(names)}; "
            "draw them in parts."
        )
    predictions = _standardised(predictions)
    splits = [split for split in SPLITS if split in set(predictions["split"])]

    figure = Figure(figsize=(0.6 + 3.4 * len(splits), 6.9), layout="constrained")
    panels = figure.subplots(2, len(splits), squeeze=False)
    table = []
    for (above, below), split in zip(panels.T, splits, strict=True):
        for place, name in enumerate(names):
            part = predictions[(predictions["split"] == split) & (predictions["surrogate"] == name)]
            if part.empty:
                continue
            look = {
                "color": COLOURS[place],
                "marker": MARKERS[place],
                "ms": 3.5,
                "lw": 1.3,
                "label": name,
            }
            for axes, points in ((above, coverage(part)), (below, errors(part))):
                axes.plot(points["x"], points["y"], **look)
                table.append(points.assign(split=split, surrogate=name))
        _frame(above, below, SPLITS[split])

    known: dict[str, Artist] = {}
    for axes in panels.flat:
        known |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    ordered = [name for name in names if name in known]
    figure.legend(
        [known[name] for name in ordered],
        ordered,
        loc="outside upper center",
        ncols=min(len(ordered), 6),
    )

    data = pd.concat(table, ignore_index=True)
    return Drawing(
        figure,
        f"What the variance is worth on {network_name(predictions)}",
        _alt(data, predictions),
        data,
    )


def _standardised(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return error and s.d. in units of the s.d. of each head's outputs.

    Constant heads are left out.
    """
    heads = predictions.groupby(["surrogate", "seed", "split", "head"])["network"]
    sd = heads.transform("std", ddof=0)
    varies = sd > 1e-6 * predictions["network"].abs()
    frame = predictions[varies]

    error = (frame["mean"] - frame["network"]).abs()
    doubt = frame["variance"].clip(lower=0) ** 0.5
    return frame.assign(error=error / sd[varies], doubt=doubt / sd[varies])


def coverage(part: pd.DataFrame) -> pd.DataFrame:
    """Return the share of outputs inside the central interval of each level."""
    half = stats.norm.ppf((1 + LEVELS) / 2)
    inside = part["error"].to_numpy()[:, None] <= half * part["doubt"].to_numpy()[:, None]
    return pd.DataFrame({"what": "coverage", "x": LEVELS, "y": inside.mean(axis=0)})


def errors(part: pd.DataFrame) -> pd.DataFrame:
    """Return root mean squares of s.d. and error of bins of items, ordered by s.d."""
    part = part.sort_values(["doubt", "error"])
    bins = [one for one in np.array_split(part[["doubt", "error"]].to_numpy(), N_BINS) if len(one)]
    x, y = np.array([np.sqrt((one**2).mean(axis=0)) for one in bins]).T
    is_shown = (x > 0) & (y > 0)
    return pd.DataFrame({"what": "error", "x": x[is_shown], "y": y[is_shown]})


def _frame(above: Axes, below: Axes, split: str) -> None:
    """Draw what a perfect variance gives, and name the axes."""
    above.plot([0, 1], [0, 1], color=GREY, lw=0.9, ls="--", zorder=1)
    above.set(
        xlim=(0, 1),
        ylim=(0, 1.02),
        xlabel="level of the interval",
        ylabel="share of outputs inside",
    )
    above.set_title(f"{split} items", loc="left")
    below.set(
        xscale="log",
        yscale="log",
        xlabel="predicted s.d. (s.d. of the output)",
        ylabel="root mean square error",
    )
    plain_numbers(below.xaxis, below.yaxis)
    ends = [
        min(below.get_xlim()[0], below.get_ylim()[0]),
        max(below.get_xlim()[1], below.get_ylim()[1]),
    ]
    below.plot(ends, ends, color=GREY, lw=0.9, ls="--", zorder=1)


def _alt(data: pd.DataFrame, predictions: pd.DataFrame) -> str:
    """Say how many outputs the 90 % intervals hold."""
    at = data[(data["what"] == "coverage") & np.isclose(data["x"], 0.9)]
    shares = [
        f"{row['surrogate']} {row['y']:.2f} on {SPLITS[row['split']]} items" for row in records(at)
    ]
    return (
        "Share of outputs inside intervals of each level, and error against predicted standard "
        f"deviation, on {network_name(predictions)}; dashed: a variance that is right. "
        f"90 % intervals hold: {'; '.join(shares)}."
    )

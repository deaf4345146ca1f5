"""Interaction and background shares of networks under every combination of scale, fill and masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpex_bench.plots.style import COLOURS, MARKERS, Drawing, shorten, styled
from gpex_bench.tables.order import records
from gpex_bench.tables.words import number

TITLES = {"interaction": "interaction share", "background": "share of the background"}
APART = 0.34  # height of a network's row that its scales share


@styled
def share_rows(table: pd.DataFrame, networks: pd.DataFrame) -> Drawing:
    """Draw one row for each network, one panel for each score and way of masking, one colour for each scale.

    Args:
        table: of one dataset: output, fill, mask, score, model, mean, low, high, n_images, n_seeds.
        networks: model and test_accuracy, in the order of the rows.
    """
    if table.empty:
        raise ValueError("table must hold at least one share, got none.")
    scores, ways = (
        list(dict.fromkeys(table["score"])),
        table[["fill", "mask"]].drop_duplicates().to_numpy().tolist(),
    )
    outputs, models = list(dict.fromkeys(table["output"])), list(networks["model"])
    size = (2.2 + 2.2 * len(ways), 0.9 + (0.5 + 0.27 * len(models)) * len(scores))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(scores), len(ways), squeeze=False, sharex="row", sharey=True)
    for row, score in zip(panels, scores, strict=True):
        for axes, (fill, mask) in zip(row, ways, strict=True):
            part = table[
                (table["score"] == score) & (table["fill"] == fill) & (table["mask"] == mask)
            ]
            _rows(axes, part, outputs, models)
            axes.set_title(f"{TITLES[score]}\n{fill} fill, {mask} masks", loc="left", size=8.5)
    named = [
        f"{shorten(row['model'])} ({100 * row['test_accuracy']:.0f} %)" for row in records(networks)
    ]
    panels[0][0].set_yticks(range(len(models)), named)
    panels[0][0].set_ylim(len(models) - 0.5, -0.5)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), title="scale of the output"
    )
    first = table.iloc[0]
    title = f"Interactions of regions ({first['dataset']}; test accuracy in brackets)"
    ends = "; ".join(
        f"{model} {number(part['mean'].min())} to {number(part['mean'].max())}"
        for model, part in table[table["score"] == scores[0]].groupby("model", sort=False)
    )
    alt = (
        f"Means and 95 % intervals over {first['n_images']} images and {first['n_seeds']} seeds. "
        f"{TITLES[scores[0]]} over all combinations: {ends}."
    )
    return Drawing(figure, title, alt, table)


def _rows(axes: Axes, part: pd.DataFrame, outputs: list[str], models: list[str]) -> None:
    """Draw the numbers of one panel."""
    for place, output in enumerate(outputs):
        own = part[part["output"] == output].set_index("model").reindex(models)
        height = [row + APART * (place - (len(outputs) - 1) / 2) for row in range(len(models))]
        reach = [(own["mean"] - own["low"]).fillna(0.0), (own["high"] - own["mean"]).fillna(0.0)]
        style: Mapping[str, Any] = {
            "color": COLOURS[place],
            "marker": MARKERS[place],
            "ms": 4,
            "elinewidth": 1.1,
            "capsize": 2,
        }
        axes.errorbar(own["mean"], height, xerr=reach, ls="none", label=output, **style)
    axes.grid(axis="y", visible=False)

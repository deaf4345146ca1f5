"""Interaction and background shares of networks, for every combination of scale, fill and mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpex_bench.plots.style import COLOURS, MARKERS, Drawing, shorten, styled
from gpex_bench.tables.order import records
from gpex_bench.tables.words import number

TITLES = {"interaction": "interaction share", "background": "share of the background"}
# height of a network's row that its scales share
APART = 0.34


@styled
def draw_shares(table: pd.DataFrame, networks: pd.DataFrame) -> Drawing:
    """Draw one row for each network, one panel for each score and way of masking.

    Each scale of the output has a colour.

    Args:
        table: of one dataset: output, fill, mask, score, model, mean, low, high, n_images, n_seeds.
        networks: model and test_accuracy, in the order of the rows.
    """
    if table.empty:
        raise ValueError("table must hold at least one share, got none.")
    scores = list(dict.fromkeys(table["score"]))
    outputs = list(dict.fromkeys(table["output"]))
    maskings = table[["fill", "mask"]].drop_duplicates().to_numpy().tolist()
    models = list(networks["model"])

    width = 2.2 + 2.2 * len(maskings)
    height = 0.9 + (0.5 + 0.27 * len(models)) * len(scores)
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(
        len(scores),
        len(maskings),
        squeeze=False,
        sharex="row",
        sharey=True,
    )
    for row, score in zip(panels, scores, strict=True):
        of_score = table[table["score"] == score]
        for axes, (fill, mask) in zip(row, maskings, strict=True):
            part = of_score[(of_score["fill"] == fill) & (of_score["mask"] == mask)]
            _draw_rows(axes, part, outputs, models)
            title = f"{TITLES[score]}\n{fill} fill, {mask} masks"
            axes.set_title(title, loc="left", size=8.5)

    corner = panels[0][0]
    corner.set_yticks(range(len(models)), [_label(row) for row in records(networks)])
    corner.set_ylim(len(models) - 0.5, -0.5)

    handles, labels = corner.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(labels),
        title="scale of the output",
    )

    dataset = table["dataset"].iloc[0]
    title = f"Interactions of regions ({dataset}; test accuracy in brackets)"
    return Drawing(figure, title, _alternative_text(table, scores[0]), table)


def _label(network: dict[str, Any]) -> str:
    """Return the label of a network's row: its name and accuracy."""
    return f"{shorten(network['model'])} ({100 * network['test_accuracy']:.0f} %)"


def _draw_rows(axes: Axes, part: pd.DataFrame, outputs: list[str], models: list[str]) -> None:
    """Draw the numbers of one panel."""
    rows = np.arange(len(models))
    middle = (len(outputs) - 1) / 2
    for place, output in enumerate(outputs):
        of_output = part[part["output"] == output]
        own = of_output.set_index("model").reindex(models)
        below = own["mean"] - own["low"]
        above = own["high"] - own["mean"]
        axes.errorbar(
            own["mean"],
            rows + APART * (place - middle),
            xerr=[below.fillna(0.0), above.fillna(0.0)],
            label=output,
            color=COLOURS[place],
            marker=MARKERS[place],
            ms=4,
            ls="none",
            elinewidth=1.1,
            capsize=2,
        )

    axes.grid(axis="y", visible=False)


def _alternative_text(table: pd.DataFrame, score: str) -> str:
    """Say what the figure shows, for a reader who does not see it."""
    ends = []
    of_score = table[table["score"] == score]
    for model, means in of_score.groupby("model", sort=False)["mean"]:
        least = number(means.min())
        most = number(means.max())
        ends.append(f"{model} {least} to {most}")

    first = table.iloc[0]
    return (
        f"Means and 95 % intervals over {first['n_images']} images and {first['n_seeds']} seeds. "
        f"{TITLES[score]} over all combinations: {'; '.join(ends)}."
    )

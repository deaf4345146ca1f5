"""GPEX neighbour sheets: test items and the training samples that the GP's answer rests on."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gpex_bench.frames import below_one, number
from gpex_bench.plots.maps import picture, show, unit
from gpex_bench.plots.style import BLUE, DIVERGING, ORANGE, Drawing, blank, shorten, styled
from gpex_bench.types import value


@value
class Sheet:
    """One test item with the k training samples that explain it, in the kernel space of the predicted class."""

    image: np.ndarray  # [channel, height, width] in [0, 1], or a row [feature]
    predicted: str
    true: str
    neighbours: np.ndarray  # [k, channel, height, width], or [k, feature]
    classes: Sequence[str]  # [k]
    similarity: np.ndarray  # [k], centred cosine in [-1, 1]; 1 is the same direction
    contribution: np.ndarray  # [k], share of the GP's mean in logits
    mean: float | None = None  # of the GP for the predicted class, in logits: all contributions plus `prior`
    prior: float | None = None  # prior mean
    pair_maps: np.ndarray | None = None  # [k, height, width]: where in the test image the similarity comes from


@styled
def neighbour_sheet(sheets: Sequence[Sheet], name: str) -> Drawing:
    """Draw test images (first column) with their neighbours, nearest first; pair maps below where there are any.

    Args:
        sheets: the test items.
        name: of the dataset, model and surrogate, as shown.
    """
    if not sheets:
        raise ValueError("sheets must hold at least one test item, got none.")
    if any(sheet.image.ndim == 1 for sheet in sheets):
        return _table_sheet(sheets, name)
    n_columns = 1 + max(len(sheet.classes) for sheet in sheets)
    heights = [height for sheet in sheets for height in ([1.0, 0.8] if sheet.pair_maps is not None else [1.0])]
    figure = Figure(figsize=(1.22 * n_columns + 0.3, 0.7 + 1.75 * sum(heights)), layout="constrained")
    grid = iter(figure.subplots(len(heights), n_columns, squeeze=False, gridspec_kw={"height_ratios": heights}))
    for sheet in sheets:
        _images(next(grid), sheet)
        if sheet.pair_maps is not None:
            _pair_maps(next(grid), sheet.pair_maps)
    _legend(figure)
    return Drawing(figure, f"Neighbours in {name}", _alt(sheets, name), data(sheets))


def _images(row: np.ndarray, sheet: Sheet) -> None:
    """Draw one test image and its neighbours, each in a frame that says whether its class is the predicted one."""
    show(row[0], sheet.image)
    wrong = "" if sheet.true == sheet.predicted else f"\n(true: {_two_lines(sheet.true)})"
    row[0].set_title(f"predicted\n{_two_lines(sheet.predicted)}{wrong}", size=8, weight="bold")
    row[0].set_xlabel(_total(sheet, "\n"), size=7.6)
    near = _similarities(sheet)
    for axes, rank in zip(row[1:], range(len(sheet.classes)), strict=False):
        axes.imshow(picture(sheet.neighbours[rank]), cmap="gray", vmin=0, vmax=1, interpolation="none")
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        same = sheet.classes[rank] == sheet.predicted
        for spine in axes.spines.values():
            spine.set(
                visible=True, color=BLUE if same else ORANGE, linewidth=2.5, linestyle="-" if same else (0, (2, 1))
            )
        axes.set_title(_two_lines(sheet.classes[rank]), size=8.2)
        share = number(float(sheet.contribution[rank]))
        axes.set_xlabel(f"similarity {near[rank]}\ncontribution {share}", size=7.6)
    for axes in row[1 + len(sheet.classes) :]:
        axes.set_visible(False)


def _two_lines(name: str) -> str:
    """Return the name of a class on at most two short lines."""
    return "\n".join(shorten(line, 15) for line in (textwrap.wrap(name, 15)[:2] or [name]))


def _similarities(sheet: Sheet) -> list[str]:
    """Write the similarities of a test item, all with the same decimals."""
    places = max(len(below_one(float(near), 2).partition(".")[2]) for near in sheet.similarity)
    return [f"{near:.{places}f}" for near in sheet.similarity]


def _total(sheet: Sheet, between: str) -> str:
    """Say what all contributions sum to."""
    if sheet.mean is None or sheet.prior is None:
        return ""
    return f"GP mean {number(sheet.mean)}{between}prior mean {number(sheet.prior)}"


def _pair_maps(row: np.ndarray, maps: np.ndarray) -> None:
    """Draw where the similarity to each neighbour comes from."""
    blank(row[0])
    row[0].text(
        1,
        0.5,
        "where the\nsimilarity\ncomes from:\nred raises,\nblue lowers it",
        ha="right",
        va="center",
        size=7.6,
        transform=row[0].transAxes,
    )
    for axes, values in zip(row[1:], maps, strict=False):
        axes.imshow(unit(values.astype(float)), cmap=DIVERGING, vmin=-1, vmax=1, interpolation="none")
        blank(axes)
    for axes in row[1 + len(maps) :]:
        axes.set_visible(False)


def _legend(figure: Figure) -> None:
    """Explain frames and numbers."""
    handles = [Line2D([], [], color=BLUE, lw=2.5), Line2D([], [], color=ORANGE, lw=2.5, ls=(0, (2, 1)))]
    labels = ["training sample of the predicted class", "of another class"]
    figure.legend(handles, labels, loc="outside lower center", ncols=2)


def _table_sheet(sheets: Sequence[Sheet], name: str) -> Drawing:
    """Draw the contributions of the neighbours of table rows as bars."""
    tallest = max(len(sheet.classes) for sheet in sheets)
    figure = Figure(figsize=(3.6 * len(sheets), 1.5 + 0.3 * tallest), layout="constrained")
    panels = figure.subplots(1, len(sheets), squeeze=False)
    for axes, sheet in zip(panels.flat, sheets, strict=True):
        _bars(axes, sheet)
    panels[0, 0].set_ylabel("class of the neighbour, similarity")
    _legend(figure)
    return Drawing(figure, f"Neighbours in {name}", _alt(sheets, name), data(sheets))


def _bars(axes: Axes, sheet: Sheet) -> None:
    """Draw one table row's neighbours."""
    colours = [BLUE if label == sheet.predicted else ORANGE for label in sheet.classes]
    axes.barh(range(len(sheet.classes)), sheet.contribution, color=colours, height=0.7)
    names = [f"{shorten(label, 12)}, {near}" for label, near in zip(sheet.classes, _similarities(sheet), strict=True)]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("contribution to the GP's mean (logit)")
    wrong = "" if sheet.true == sheet.predicted else f" (true: {sheet.true})"
    axes.set_title(f"predicted {sheet.predicted}{wrong}\n{_total(sheet, ', ')}", size=9)


def _alt(sheets: Sequence[Sheet], name: str) -> str:
    """Count how many neighbours are of the predicted class."""
    same = sum(label == sheet.predicted for sheet in sheets for label in sheet.classes)
    total = sum(len(sheet.classes) for sheet in sheets)
    return (
        f"{len(sheets)} test items of {name} with the training samples that explain them, strongest first, with class, "
        f"similarity and contribution; {same} of the {total} neighbours are of the predicted class."
    )


def data(sheets: Sequence[Sheet]) -> pd.DataFrame:
    """Return the numbers of the sheets: item, rank, class, similarity, contribution."""
    rows = [
        (item, sheet.predicted, sheet.true, rank, sheet.classes[rank], sheet.similarity[rank], sheet.contribution[rank])
        for item, sheet in enumerate(sheets)
        for rank in range(len(sheet.classes))
    ]
    columns = ["item", "predicted", "true", "rank", "class", "similarity", "contribution"]
    return pd.DataFrame(rows, columns=columns)

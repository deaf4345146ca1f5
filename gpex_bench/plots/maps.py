"""Attributions side by side: inputs x explainers, as maps for images and as bars for tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from skimage.measure import block_reduce

from gpex_bench.plots.style import DIVERGING, Drawing, blank, shorten, styled, words
from gpex_bench.types import value

N_FEATURES = 10  # features of a table that are shown
N_BESIDE = 3  # rows of a table whose panels are side by side
# Maps of more pixels along a side are averaged over square blocks: in the picture, and in the file
# of its numbers.
SIDE_SHOWN = 112
SIDE_LISTED = 56
LARGE = 1.35  # times as wide as the panels of small images are those of large ones
LEGEND = (
    "relevance, each map divided by its own largest magnitude "
    "(red: evidence for {evidence}, blue: against it)"
)


@value
class Gallery:
    """Some inputs of one dataset and model with the attributions of each method for one seed."""

    name: str  # of the dataset and model, as shown
    inputs: np.ndarray  # images [n, channel, height, width] in [0, 1], or rows [n, feature]
    predicted: Sequence[str]  # [n]: a class, labels or a number
    true: Sequence[str]
    maps: Mapping[str, np.ndarray]  # by method, in the order shown; each like inputs
    features: Sequence[str] = ()
    values: Sequence[Sequence[str]] = ()  # [n][feature]: in words; empty: not shown
    why: Sequence[str] = ()  # by which rule each input was chosen
    group: str = ""  # which methods are shown
    explained: Sequence[str] = ()  # which of several labels; empty where it is clear
    evidence: str = "the explained class"  # what positive relevance speaks for


def picture(image: np.ndarray) -> np.ndarray:
    """Return [channel, height, width] in [0, 1] as matplotlib wants it."""
    is_coloured = image.shape[0] == 3
    pixels = np.moveaxis(image, 0, -1) if is_coloured else image.mean(axis=0)
    return np.clip(pixels, 0, 1)


def pooled(maps: np.ndarray, side: int) -> tuple[np.ndarray, int]:
    """Return maps [..., height, width] averaged over blocks, and the pixels along a block.

    The blocks are the smallest that leave at most `side` pixels; those at the border may be cut.
    """
    block = -(-max(maps.shape[-2:]) // side)
    if block == 1:
        return maps, 1
    sizes = (*(1 for _ in maps.shape[:-2]), block, block)
    return block_reduce(maps.astype(float), sizes, np.nanmean, cval=np.nan), block


def blocks(block: int) -> str:
    """Return the line of a legend that says over which blocks maps are averaged, if they are."""
    return f"\naveraged over blocks of {block} x {block} pixels" if block > 1 else ""


def show(axes: Axes, image: np.ndarray) -> None:
    """Show one image, grey or in colour."""
    axes.imshow(picture(image), cmap="gray", vmin=0, vmax=1, interpolation="none")
    blank(axes)


def unit(values: np.ndarray) -> np.ndarray:
    """Return values divided by the largest magnitude; all zeros stay zeros."""
    largest = np.abs(values).max()
    return values / largest if largest > 0 else values


def _labels(gallery: Gallery) -> list[str]:
    """Say what was predicted for each input, and what is true where that differs."""
    labels = []
    for predicted, true in zip(gallery.predicted, gallery.true, strict=True):
        is_right = predicted == true
        labels.append(predicted if is_right else f"{predicted}\n(true: {true})")

    if any(gallery.explained):
        pairs = zip(labels, gallery.explained, strict=True)
        labels = [f"{label}\nexplained: {name}" for label, name in pairs]
    if not gallery.why:
        return labels
    return [f"{why}:\n{label}" for why, label in zip(gallery.why, labels, strict=True)]


def _check(gallery: Gallery, ndim: int, kind: str) -> None:
    """Raise ValueError unless inputs and maps are [n, ...] of the right kind."""
    for name, array in {"inputs": gallery.inputs, **gallery.maps}.items():
        if array.ndim != ndim or len(array) != len(gallery.inputs):
            raise ValueError(
                f"gallery {gallery.name!r}: {name} must be {kind} for {len(gallery.inputs)} "
                f"inputs, got {array.shape}."
            )


@styled
def gallery(gallery: Gallery) -> Drawing:
    """Draw images (rows) and their maps (columns), with the channels summed."""
    _check(gallery, 4, "[n, channel, height, width]")
    n_rows = len(gallery.inputs)
    n_columns = 1 + len(gallery.maps)
    is_large = max(gallery.inputs.shape[2:]) > SIDE_LISTED
    scale = LARGE if is_large else 1.0
    size = (0.75 + 0.86 * scale * n_columns, 1.25 + 0.9 * scale * n_rows)
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(n_rows, n_columns, squeeze=False)

    maps: dict[str, np.ndarray] = {}
    inputs, block = pooled(gallery.inputs, SIDE_SHOWN)
    for name, values in gallery.maps.items():
        maps[name], _ = pooled(values.sum(axis=1), SIDE_SHOWN)

    for row, label in enumerate(_labels(gallery)):
        input_axes = grid[row, 0]
        show(input_axes, inputs[row])
        label = label.replace(" and ", " and\n")
        input_axes.set_ylabel(label, rotation=0, ha="right", va="center", size=8.5)

        for axes, values in zip(grid[row, 1:], maps.values(), strict=True):
            axes.imshow(
                unit(values[row].astype(float)),
                cmap=DIVERGING,
                vmin=-1,
                vmax=1,
                interpolation="none",
            )
            blank(axes)

    for axes, name in zip(grid[0], ["input", *gallery.maps], strict=True):
        axes.set_title(words(name), size=7.6)

    colours = ScalarMappable(Normalize(-1, 1), DIVERGING)
    bar = figure.colorbar(
        colours, ax=grid, location="bottom", fraction=0.03, aspect=60, pad=0.02, ticks=[-1, 0, 1]
    )
    legend = LEGEND.format(evidence=gallery.evidence)
    bar.set_label(legend + blocks(block), size=8.5)
    alt = (
        f"{n_rows} test images of {gallery.name} (predicted: {', '.join(gallery.predicted)}), "
        f"each with the relevance maps of {', '.join(gallery.maps)}."
    )
    return Drawing(figure, _title(gallery), alt, data(gallery))


def data(gallery: Gallery) -> pd.DataFrame:
    """Return the relevance that is shown.

    The columns are method, input, feature (or row and column of a pixel) and relevance. Large maps
    are averaged over blocks, which are then the rows and columns.
    """
    frames = []
    for method, values in gallery.maps.items():
        is_image = values.ndim == 4
        relevance = values
        if is_image:
            relevance, _ = pooled(values.sum(axis=1), SIDE_LISTED)
        names = ("input", "row", "column") if is_image else ("input", "feature")

        places = np.indices(relevance.shape)
        frame = pd.DataFrame({"method": method}, index=range(relevance.size))
        for name, index in zip(names, places, strict=True):
            frame[name] = index.ravel()
        frame["relevance"] = relevance.ravel()
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


@styled
def table_gallery(gallery: Gallery) -> Drawing:
    """Draw attributions of table rows as maps of method x feature: the most relevant features."""
    _check(gallery, 2, "[n, feature]")
    n_rows = len(gallery.inputs)
    n_methods = len(gallery.maps)
    n_beside = min(n_rows, N_BESIDE)
    n_below = -(-n_rows // N_BESIDE)
    size = (2.0 + 3.0 * n_beside, 0.9 + n_below * (1.7 + 0.21 * n_methods))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(n_below, n_beside, squeeze=False, sharey=True).ravel()
    for axes in grid[n_rows:]:
        axes.set_visible(False)

    for row, label in enumerate(_labels(gallery)):
        axes = grid[row]
        _table_panel(axes, gallery, row)
        axes.set_title(label, size=8.5)

    scale = ScalarMappable(Normalize(-1, 1), DIVERGING)
    bar = figure.colorbar(
        scale, ax=grid, location="bottom", aspect=60, shrink=0.6, pad=0.02, ticks=[-1, 0, 1]
    )
    legend = LEGEND.format(evidence=gallery.evidence)
    bar.set_label(legend.replace("each map", "each row of a method"), size=8.5)
    alt = (
        f"{n_rows} test rows of {gallery.name} (predicted: {', '.join(gallery.predicted)}), "
        f"with the {N_FEATURES} most relevant features by {', '.join(gallery.maps)}."
    )
    return Drawing(figure, _title(gallery), alt, data(gallery))


def _table_panel(axes: Axes, gallery: Gallery, row: int) -> None:
    """Draw the most relevant features of one row of a table by each method."""
    maps = [unit(values[row].astype(float)) for values in gallery.maps.values()]
    relevance = np.stack(maps)
    mean_size = np.abs(relevance).mean(axis=0)
    top = np.argsort(-mean_size, kind="stable")[:N_FEATURES]
    axes.imshow(
        relevance[:, top], cmap=DIVERGING, vmin=-1, vmax=1, interpolation="none", aspect="auto"
    )

    names = []
    for place in top:
        name = shorten(gallery.features[place].replace("_", " "))
        names.append(f"{name} = {shorten(gallery.values[row][place])}" if gallery.values else name)
    axes.set_xticks(
        range(len(top)), names, rotation=45, ha="right", rotation_mode="anchor", size=7.6
    )
    axes.set_yticks(range(len(maps)), list(gallery.maps), size=8)
    axes.tick_params(length=0)
    axes.grid(False)


def _title(gallery: Gallery) -> str:
    """Return the title of a gallery, with the group of methods that it shows."""
    title = f"Explanations of {gallery.name}"
    return f"{title}: {gallery.group}" if gallery.group else title

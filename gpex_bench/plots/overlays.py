"""Maps over the images that they explain, and bars of the most relevant columns of a table.

For a notebook: one method, and each input with a scale of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from gpex_bench.plots.maps import N_FEATURES, SIDE_SHOWN, blocks, pooled, unit
from gpex_bench.plots.neighbours import overlaid
from gpex_bench.plots.style import BLUE, DIVERGING, Drawing, blank, shorten, styled

RED = "#b2182b"  # the red end of `DIVERGING`, for bars
PIXELS = 1.6  # inches that an image is wide
LEGEND = (
    "relevance / the largest of its map\n(red: evidence for what is explained, blue: against it)"
)
LEGEND_OF_BARS = "relevance (red: evidence for what is explained, blue: against it)"


@styled
def overlays(inputs: np.ndarray, maps: np.ndarray, labels: Sequence[str], name: str) -> Drawing:
    """Draw images, and below each one its map over a pale copy of it, with the channels summed.

    Args:
        inputs: images [n, channel, height, width] in any range.
        maps: relevance of the same shape.
        labels: what is explained of each image.
        name: of the method, as shown.
    """
    n_images = len(inputs)
    figure = Figure(figsize=(max(4.5, PIXELS * n_images), 2 * PIXELS + 1.1), layout="constrained")
    grid = figure.subplots(2, n_images, squeeze=False)
    relevance, block = pooled(maps.sum(axis=1).astype(float), SIDE_SHOWN)

    for column, label in enumerate(labels):
        image = visible(inputs[column])
        _show(grid[0, column], image)
        grid[0, column].set_title(f"explained: {shorten(label, 14)}", size=8.5)
        pale, _ = pooled(image, SIDE_SHOWN)
        grid[1, column].imshow(overlaid(pale, unit(relevance[column])), interpolation="none")
        blank(grid[1, column])

    scale = ScalarMappable(Normalize(-1, 1), DIVERGING)
    bar = figure.colorbar(scale, ax=grid, location="bottom", aspect=50, pad=0.02, ticks=[-1, 0, 1])
    bar.set_label(LEGEND + blocks(block), size=7.6)
    alt = f"{n_images} images ({', '.join(labels)}), each with the relevance by {name} over it."
    rows, columns = relevance.shape[1:]
    data = pd.DataFrame(
        {
            "input": np.repeat(np.arange(n_images), rows * columns),
            "row": np.tile(np.repeat(np.arange(rows), columns), n_images),
            "column": np.tile(np.arange(columns), n_images * rows),
            "relevance": relevance.ravel(),
        }
    )
    return Drawing(figure, f"Explanations by {name}", alt, data)


def visible(image: np.ndarray) -> np.ndarray:
    """Return an image [channel, height, width] in [0, 1], as people see it.

    Images in [0, 1] stay as they are; others are moved and scaled by their lowest and highest
    value. Images that are neither grey nor coloured become grey.
    """
    image = image.astype(float)
    if len(image) != 3:
        image = image.mean(axis=0, keepdims=True)

    low, high = image.min(), image.max()
    if low >= 0 and high <= 1:
        return image
    if low == high:
        return np.full_like(image, 0.5)
    scaled: np.ndarray = (image - low) / (high - low)
    return scaled


def _show(axes: Axes, image: np.ndarray) -> None:
    """Show one image that is visible."""
    is_coloured = len(image) == 3
    pixels = np.moveaxis(image, 0, -1) if is_coloured else image[0]
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="none")
    blank(axes)


@styled
def bars(
    values: Sequence[Sequence[str]],
    maps: np.ndarray,
    features: Sequence[str],
    labels: Sequence[str],
    name: str,
) -> Drawing:
    """Draw the most relevant columns of each row of a table as bars, with their values.

    Args:
        values: of the columns of each row, in words.
        maps: relevance [n, column].
        features: names of the columns.
        labels: what is explained of each row.
        name: of the method, as shown.
    """
    n_rows = len(maps)
    n_shown = min(N_FEATURES, maps.shape[1])
    size = (max(4.2, 3.6 * n_rows), 0.9 + 0.24 * n_shown)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, n_rows, squeeze=False)[0]

    for row, axes in enumerate(panels):
        top = np.argsort(-np.abs(maps[row]), kind="stable")[:n_shown]
        relevance = maps[row][top].astype(float)
        colours = [RED if entry > 0 else BLUE for entry in relevance]
        axes.barh(range(n_shown), relevance, color=colours)
        axes.axvline(0, color="black", lw=0.6)

        names = [f"{shorten(features[place], 22)} = {values[row][place]}" for place in top]
        axes.set_yticks(range(n_shown), names, size=8)
        axes.invert_yaxis()
        axes.set_title(f"explained: {shorten(labels[row])}", size=9)
    figure.supxlabel(LEGEND_OF_BARS, size=7.6)

    alt = (
        f"{n_rows} rows ({', '.join(labels)}) with their {n_shown} most relevant columns by {name}."
    )
    places = np.indices(maps.shape)
    data = pd.DataFrame(
        {
            "input": places[0].ravel(),
            "feature": np.array(list(features), dtype=object)[places[1].ravel()],
            "relevance": maps.ravel(),
        }
    )
    return Drawing(figure, f"Explanations by {name}", alt, data)


@styled
def examples(
    inputs: np.ndarray,
    near: np.ndarray,
    labels: Sequence[str],
    captions: Sequence[Sequence[str]],
    name: str,
) -> Drawing:
    """Draw images, each with the training samples that explain it, strongest first.

    Args:
        inputs: images [n, channel, height, width].
        near: training samples [n, k, channel, height, width].
        labels: what is explained of each image.
        captions: [n][k], of the training samples.
        name: of the method, as shown.
    """
    n_images, k = near.shape[:2]
    width = 0.72 * PIXELS
    figure = Figure(figsize=(width * (1 + k), (width + 0.35) * n_images), layout="constrained")
    grid = figure.subplots(n_images, 1 + k, squeeze=False)
    for row, label in enumerate(labels):
        _show(grid[row, 0], visible(inputs[row]))
        grid[row, 0].set_title(shorten(label, 16), size=8, weight="bold")
        for rank, caption in enumerate(captions[row]):
            axes = grid[row, 1 + rank]
            _show(axes, visible(near[row, rank]))
            axes.set_title(caption, size=7.4)

    alt = f"{n_images} images, each with the {k} training samples that explain it by {name}."
    words = [caption.replace("\n", ", ") for own in captions for caption in own]
    data = pd.DataFrame(
        {
            "input": np.repeat(np.arange(n_images), k),
            "rank": np.tile(np.arange(1, k + 1), n_images),
            "example": words,
        }
    )
    return Drawing(figure, f"Training samples by {name}", alt, data)

"""Attributions side by side: inputs x explainers, as maps for images and as bars for tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from gpex_bench.plots.style import DIVERGING, Drawing, blank, shorten, styled, words
from gpex_bench.types import value

N_FEATURES = 10  # features of a table that are shown
LEGEND = (
    "relevance, each map divided by its own largest magnitude "
    "(red: evidence for the explained class, blue: against it)"
)


@value
class Gallery:
    """Some inputs of one dataset and model with the attributions of each method for one seed."""

    name: str  # of the dataset and model, as shown
    inputs: np.ndarray  # images [n, channel, height, width] in [0, 1], or rows [n, feature]
    predicted: Sequence[str]  # class names [n]; the predicted class is the one explained
    true: Sequence[str]
    maps: Mapping[str, np.ndarray]  # by method, in the order shown; each like inputs
    features: Sequence[str] = ()
    why: Sequence[str] = ()  # by which rule each input was chosen
    group: str = ""  # which methods are shown


def picture(image: np.ndarray) -> np.ndarray:
    """Return [channel, height, width] in [0, 1] as matplotlib wants it."""
    return np.clip(np.moveaxis(image, 0, -1) if image.shape[0] == 3 else image.mean(axis=0), 0, 1)


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
    pairs = zip(gallery.predicted, gallery.true, strict=True)
    labels = [
        predicted if predicted == true else f"{predicted}\n(true: {true})"
        for predicted, true in pairs
    ]
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
    n_rows, n_columns = len(gallery.inputs), 1 + len(gallery.maps)
    figure = Figure(figsize=(0.75 + 0.86 * n_columns, 1.25 + 0.9 * n_rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(n_rows, n_columns, squeeze=False)

    for y, label in enumerate(_labels(gallery)):
        show(grid[y, 0], gallery.inputs[y])
        grid[y, 0].set_ylabel(
            label.replace(" and ", " and\n"), rotation=0, ha="right", va="center", size=8.5
        )
        for x, values in enumerate(gallery.maps.values(), start=1):
            summed = unit(values[y].sum(axis=0).astype(float))
            grid[y, x].imshow(summed, cmap=DIVERGING, vmin=-1, vmax=1, interpolation="none")
            blank(grid[y, x])
    for x, name in enumerate(["input", *gallery.maps]):
        grid[0, x].set_title(words(name), size=7.6)
    scale = ScalarMappable(Normalize(-1, 1), DIVERGING)
    bar = figure.colorbar(
        scale, ax=grid, location="bottom", fraction=0.03, aspect=60, pad=0.02, ticks=[-1, 0, 1]
    )
    bar.set_label(LEGEND, size=8.5)
    alt = (
        f"{n_rows} test images of {gallery.name} (predicted: {', '.join(gallery.predicted)}), "
        f"each with the relevance maps of {', '.join(gallery.maps)}."
    )
    return Drawing(figure, _title(gallery), alt, data(gallery))


def data(gallery: Gallery) -> pd.DataFrame:
    """Return the relevance that is shown.

    The columns are method, input, feature (or row and column of a pixel) and relevance.
    """
    frames = []
    for method, values in gallery.maps.items():
        summed = values.sum(axis=1) if values.ndim == 4 else values
        index = np.stack([axis.ravel() for axis in np.indices(summed.shape)])
        names = ("input", "row", "column") if values.ndim == 4 else ("input", "feature")
        frame = pd.DataFrame(dict(zip(names, index, strict=True)))
        frame.insert(0, "method", method)
        frames.append(frame.assign(relevance=summed.ravel()))
    return pd.concat(frames, ignore_index=True)


@styled
def table_gallery(gallery: Gallery) -> Drawing:
    """Draw attributions of table rows as maps of method x feature: the most relevant features."""
    _check(gallery, 2, "[n, feature]")
    n_rows, n_methods = len(gallery.inputs), len(gallery.maps)
    figure = Figure(figsize=(2.0 + 3.3 * n_rows, 2.5 + 0.21 * n_methods), layout="constrained")
    grid = figure.subplots(1, n_rows, squeeze=False, sharey=True)[0]
    labels = _labels(gallery)

    for axes, y in zip(grid, range(n_rows), strict=True):
        relevance = np.stack([unit(values[y].astype(float)) for values in gallery.maps.values()])
        top = np.argsort(-np.abs(relevance).mean(axis=0), kind="stable")[:N_FEATURES]
        axes.imshow(
            relevance[:, top], cmap=DIVERGING, vmin=-1, vmax=1, interpolation="none", aspect="auto"
        )
        names = [shorten(gallery.features[place].replace("_", " ")) for place in top]
        axes.set_xticks(
            range(len(top)), names, rotation=45, ha="right", rotation_mode="anchor", size=7.6
        )
        axes.set_yticks(range(n_methods), list(gallery.maps), size=8)
        axes.tick_params(length=0)
        axes.grid(False)
        axes.set_title(labels[y], size=8.5)
    scale = ScalarMappable(Normalize(-1, 1), DIVERGING)
    bar = figure.colorbar(
        scale, ax=grid, location="bottom", aspect=60, shrink=0.6, pad=0.02, ticks=[-1, 0, 1]
    )
    bar.set_label(LEGEND.replace("each map", "each row of a method"), size=8.5)
    alt = (
        f"{n_rows} test rows of {gallery.name} (predicted: {', '.join(gallery.predicted)}), "
        f"with the {N_FEATURES} most relevant features by {', '.join(gallery.maps)}."
    )
    return Drawing(figure, _title(gallery), alt, data(gallery))


def _title(gallery: Gallery) -> str:
    """Return the title of a gallery, with the group of methods that it shows."""
    return f"Explanations of {gallery.name}{f': {gallery.group}' if gallery.group else ''}"

"""Attention maps: of the network, of the surrogate in its place, and their difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from gpex_bench.plots.maps import show
from gpex_bench.plots.style import DIVERGING, Drawing, blank, styled
from gpex_bench.types import value

ATTENTION = "cividis"  # dark: not looked at
COLUMNS = ("input", "network", "surrogate", "surrogate − network")


@value
class Looks:
    """Some images with the attention logits of a network and of its surrogate."""

    name: str  # of the dataset, model and surrogate, as shown
    images: np.ndarray  # [n, channel, height, width] in [0, 1]
    labels: Sequence[str]  # [n], left of each image
    network: np.ndarray  # [n, row, column], before the sigmoid
    mean: np.ndarray  # [n, row, column], of the surrogate
    r: Sequence[float]  # [n], correlation of the two maps of an image


@styled
def attention_maps(looks: Looks) -> Drawing:
    """Draw image, network's map, surrogate's map and difference, one row an image."""
    n, rows, columns = looks.network.shape
    if looks.mean.shape != looks.network.shape or len(looks.images) != n:
        raise ValueError(
            "images, network and mean must be of the same images and places, "
            f"got {len(looks.images)} images, {looks.network.shape} and {looks.mean.shape}."
        )

    # One scale for the maps of all images, another for their differences.
    both = np.concatenate([looks.network, looks.mean])
    scale = Normalize(both.min(), both.max())
    difference = looks.mean - looks.network
    largest = np.abs(difference).max()
    difference_scale = Normalize(-largest, largest)

    figure = Figure(figsize=(7.6, 0.9 + 1.45 * n), layout="constrained")
    panels = figure.subplots(n, 4, squeeze=False)
    for place, (image, network, mean, gap) in enumerate(panels):
        show(image, looks.images[place])
        image.set_ylabel(looks.labels[place], rotation=0, ha="right", va="center", size=8.5)
        _map(network, looks.network[place], ATTENTION, scale)
        _map(mean, looks.mean[place], ATTENTION, scale)
        _map(gap, difference[place], DIVERGING, difference_scale)
        mean.set_xlabel(f"r = {looks.r[place]:.3f}", size=8)

    for axes, name in zip(panels[0], COLUMNS, strict=True):
        axes.set_title(name)
    _bar(panels[:, 1:3], ATTENTION, scale, "attention (before the sigmoid)")
    _bar(panels[:, 3], DIVERGING, difference_scale, "difference")

    title = f"Attention of the network and of the surrogate in its place on {looks.name}"
    alt = (
        f"{title}: {n} images with maps of {rows} x {columns} places. "
        "Over the places of an image the two maps correlate with r "
        f"from {min(looks.r):.3f} to {max(looks.r):.3f}; the largest difference is {largest:.2g}."
    )
    return Drawing(figure, title, alt, _data(looks))


def _bar(panels: np.ndarray, colours: str, norm: Normalize, label: str) -> None:
    """Draw the colour bar of some panels below them."""
    figure = panels.flat[0].figure
    mapped = ScalarMappable(norm, colours)
    figure.colorbar(mapped, ax=panels, location="bottom", label=label, shrink=0.8, aspect=30)


def _map(axes: Axes, values: np.ndarray, colours: str, norm: Normalize) -> None:
    """Show one map."""
    axes.imshow(values, cmap=colours, norm=norm, interpolation="none")
    blank(axes)


def _data(looks: Looks) -> pd.DataFrame:
    """Return one row per image and place."""
    image, row, column = np.indices(looks.network.shape)
    return pd.DataFrame(
        {
            "input": image.ravel(),
            "row": row.ravel() + 1,
            "column": column.ravel() + 1,
            "network": looks.network.ravel(),
            "mean": looks.mean.ravel(),
        }
    )

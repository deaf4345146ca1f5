"""A few telling explanations side by side: the best, cheap ones, and one that misleads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gpex_bench.plots.maps import SIDE_SHOWN, pooled, show, unit
from gpex_bench.plots.style import DIVERGING, INK, Drawing, blank, shorten, styled
from gpex_bench.types import value

# Inches of a panel: large enough to see what a map shows.
SIDE = 1.5


@value
class Example:
    """A map of one method, and why it is shown."""

    why: str
    method: str
    values: np.ndarray  # [channel, height, width]


@value
class Contrast:
    """One image of a network with some explanations of it."""

    name: str  # of the network, as shown
    label: str  # what was predicted
    image: np.ndarray  # [channel, height, width] in [0, 1]
    examples: Sequence[Example]


@styled
def contrast(rows: Sequence[Contrast]) -> Drawing:
    """Draw an image a row: the image itself, then its explanations under their reasons."""
    n_columns = 1 + max(len(row.examples) for row in rows)
    size = (SIDE * n_columns + 0.2, (SIDE + 0.55) * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), n_columns, squeeze=False)

    for axes, row in zip(grid, rows, strict=True):
        image, _ = pooled(row.image, SIDE_SHOWN)
        show(axes[0], image)
        axes[0].set_title(f"{row.name}\n{shorten(row.label)}", size=8.5)

        for panel, example in zip(axes[1:], row.examples, strict=False):
            _map(panel, example)
        for panel in axes[1 + len(row.examples) :]:
            panel.set_visible(False)

    texts = [
        f"{row.name}: {', '.join(f'{one.why} {one.method}' for one in row.examples)}"
        for row in rows
    ]
    alt = f"Images with relevance maps. {'; '.join(texts)}."
    return Drawing(figure, "What good and misleading explanations look like", alt, _data(rows))


def _map(axes: Axes, example: Example) -> None:
    """Draw one map, divided by its own largest magnitude."""
    values, _ = pooled(example.values.sum(axis=0), SIDE_SHOWN)
    scaled = unit(values.astype(float))
    axes.imshow(scaled, cmap=DIVERGING, vmin=-1, vmax=1, interpolation="none")
    blank(axes)
    axes.set_title(f"{example.why}:\n{shorten(example.method)}", size=8.5, color=INK)


def _data(rows: Sequence[Contrast]) -> pd.DataFrame:
    """Return the relevance that is shown, one row a pixel or block of pixels."""
    frames = []
    for row in rows:
        for example in row.examples:
            relevance, _ = pooled(example.values.sum(axis=0), SIDE_SHOWN)
            at_row, at_column = np.indices(relevance.shape)
            frame = pd.DataFrame(
                {
                    "network": row.name,
                    "why": example.why,
                    "method": example.method,
                    "row": at_row.ravel(),
                    "column": at_column.ravel(),
                    "relevance": relevance.ravel(),
                }
            )
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)

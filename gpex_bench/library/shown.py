"""How objects look in a notebook: what is known of them, and pictures with their text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from gpex_bench import plots
from gpex_bench.library.results import Made, Maps, Neighbours, named
from gpex_bench.library.wrapping import Network
from gpex_bench.masking.units import per_unit, unit_names, unit_values, units
from gpex_bench.plots import Drawing

N_SHOWN = 6  # inputs with maps
N_SHOWN_ROWS = 3  # rows of a table
N_NEIGHBOURS = 4  # inputs with training samples
K_SHOWN = 8  # training samples of each
DPI = 110


def lines_html(lines: Sequence[str]) -> str:
    """Return lines as a paragraph whose first line is strong."""
    first, *rest = [escape(line) for line in lines]
    return f"<div><strong>{first}</strong>{''.join(f'<br>{line}' for line in rest)}</div>"


def network_html(network: Network) -> str:
    """Return what is known of a network."""
    return lines_html(network.lines())


def maps_html(maps: Maps) -> str:
    """Return maps over their images, or bars of columns, and what is known of them."""
    drawing = maps_drawing(maps)
    n_more = len(maps) - _n_shown(maps)
    more = [f"and {n_more} more inputs"] if n_more > 0 else []
    return lines_html([*maps.lines(), *more]) + _picture(drawing)


def maps_drawing(maps: Maps, n: int | None = None) -> Drawing:
    """Return a drawing of the first n maps."""
    made = maps.made
    n_shown = _n_shown(maps) if n is None else n
    x = made.query.x[:n_shown].cpu()
    values = maps.attribution.values[:n_shown]

    labels = _explained(made, n_shown)
    if x.ndim == 4:
        return plots.overlays(x.numpy(), values.numpy(), labels, made.method)

    # A group of columns is one place of a map.
    data = made.task.data
    relevance = per_unit(values, units(data)).numpy()
    words = [unit_values(data, row) for row in x]
    return plots.bars(words, relevance, unit_names(data), labels, made.method)


def _explained(made: Made, n: int) -> list[str]:
    """Return the names of the outputs of the first n inputs that are explained."""
    return [named(made.task, target) for target in made.query.target[:n].tolist()]


def _n_shown(maps: Maps) -> int:
    is_image = maps.made.query.x.ndim == 4
    return min(len(maps), N_SHOWN if is_image else N_SHOWN_ROWS)


def neighbours_html(neighbours: Neighbours) -> str:
    """Return inputs with their training samples as images, or the frame of tables."""
    made = neighbours.made
    head = lines_html([f"training samples by {made.method}, {made.cost}"])
    if made.query.x.ndim != 4:
        return head + neighbours.frame.to_html(index=False, max_rows=30)
    return head + _picture(neighbours_drawing(neighbours))


def neighbours_drawing(neighbours: Neighbours, n: int = N_NEIGHBOURS) -> Drawing:
    """Return a drawing of the first n inputs with their training samples.

    Raises:
        ValueError: rows of tables have no picture.
    """
    made = neighbours.made
    if made.query.x.ndim != 4:
        raise ValueError("Rows of a table have no picture; look at `frame`.")

    index = neighbours.examples.index[:n, :K_SHOWN]
    x = made.query.x[:n].cpu().numpy()
    near = made.task.data.train.x[index].numpy()

    table = neighbours.frame
    captions: list[list[str]] = []
    for _, part in table.groupby("sample", sort=False):
        pairs = zip(part["training_target"], part["weight"], strict=True)
        words = [f"{target}\n{weight:.3g}" for target, weight in pairs]
        captions.append(words[:K_SHOWN])
    labels = _explained(made, n)
    return plots.examples(x, near, labels, captions[: len(x)], made.method)


def _picture(drawing: Drawing) -> str:
    """Return a drawing as an image with its alternative text."""
    png = base64.b64encode(plots.to_png(drawing, DPI)).decode()
    source = f"data:image/png;base64,{png}"
    return f'<img style="max-width:100%" alt="{escape(drawing.alt)}" src="{source}">'

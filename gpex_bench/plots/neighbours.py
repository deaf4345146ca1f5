"""Neighbour sheets: test items, the training samples that explain them, maps of their likeness."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gpex_bench.plots.maps import picture, unit
from gpex_bench.plots.style import BLUE, DIVERGING, ORANGE, Drawing, blank, shorten, styled
from gpex_bench.tables.words import below_one, number
from gpex_bench.types import value

SAME = "training sample of the predicted class"
OTHER = "of another class"
HEAT = (
    "heat, each row of maps divided by its own largest magnitude: "
    "red raises the number, blue lowers it"
)

# Of the numbers and maps, below a sheet that shows them.
MEANINGS = {
    "similarity": "similarity: centred cosine, 1 is the same direction.",
    "contribution": "contribution: share of the surrogate's mean; "
    "all shares and the prior mean sum to it.",
    "if deleted": "if deleted: change of the surrogate's mean without this training sample.",
    "maps": "\nMaps sum to the number they show. Neighbours in the same direction have nearly the "
    "same map of the similarity on the test item;\n"
    "the map of a neighbour's effect (minus 'if deleted') also weighs how well the data "
    "determine a direction, and differs more.",
}


@value
class Heat:
    """One kind of map, one for each neighbour of an item."""

    label: str  # what a map shows, and what it sums to
    values: np.ndarray  # [k, height, width]
    is_on_query: bool  # drawn on the test item, not on the neighbour


@value
class Sheet:
    """One test item with the k training samples that explain it, by the predicted class."""

    # [channel, height, width] in [0, 1], or some columns [feature] of a row of a table.
    image: np.ndarray
    predicted: str
    true: str
    neighbours: np.ndarray  # [k, channel, height, width], or [k, feature]
    classes: Sequence[str]  # [k]
    # [k] each, by name, in the order shown: similarity, contribution, ...
    numbers: dict[str, np.ndarray]
    heats: Sequence[Heat] = ()
    why: str = ""  # by which rule the item was chosen
    note: str = ""  # more about the item, in lines
    features: Sequence[str] = ()  # names of the columns of a table


@styled
def neighbour_sheet(sheets: Sequence[Sheet], name: str) -> Drawing:
    """Draw one block of rows for each test item: images, then one row for each kind of map.

    Args:
        sheets: the test items.
        name: of the dataset, model and surrogate, as shown.
    """
    _check(sheets)
    if sheets[0].image.ndim == 1:
        return _table_sheet(sheets, name)
    n_columns = 1 + max(len(sheet.classes) for sheet in sheets)
    heights = [height for sheet in sheets for height in [1.0, *[0.74] * len(sheet.heats)]]
    n_numbers = max(len(sheet.numbers) for sheet in sheets)
    size = (
        1.02 * n_columns + 1.1,
        0.9 + (1.35 + 0.14 * n_numbers) * len(sheets) + 0.96 * (len(heights) - len(sheets)),
    )
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0.01)  # type: ignore[union-attr, call-arg]
    ratios = {"height_ratios": heights, "width_ratios": [1.35, *[1.0] * (n_columns - 1)]}
    grid = figure.subplots(len(heights), n_columns, squeeze=False, gridspec_kw=ratios)
    rows = iter(grid)
    for sheet in sheets:
        _images(next(rows), sheet)
        for heat in sheet.heats:
            _heat(next(rows), sheet, heat)
    if any(sheet.heats for sheet in sheets):
        scale = ScalarMappable(Normalize(-1, 1), DIVERGING)
        bar = figure.colorbar(
            scale, ax=grid, location="bottom", shrink=0.45, aspect=45, pad=0.01, ticks=[-1, 0, 1]
        )
        bar.set_label(HEAT, size=8.5)
    _legend(figure, sheets)
    return Drawing(figure, f"Neighbours in {name}", _alt(sheets, name), data(sheets))


def _check(sheets: Sequence[Sheet]) -> None:
    """Raise ValueError unless there are sheets, all with as many numbers and maps as neighbours."""
    if not sheets:
        raise ValueError("sheets must hold at least one test item, got none.")
    for sheet in sheets:
        k = len(sheet.classes)
        arrays = sheet.numbers | {heat.label: heat.values for heat in sheet.heats}
        for name, array in arrays.items():
            if len(array) != k:
                raise ValueError(
                    f"{name!r} must have one entry for each of the {k} neighbours, "
                    f"got {len(array)}."
                )
        if sheet.image.ndim == 1 and len(sheet.features) != len(sheet.image):
            columns = f"the {len(sheet.image)} columns of a table's rows"
            raise ValueError(f"features must name {columns}, got {len(sheet.features)}.")


def _images(row: np.ndarray, sheet: Sheet) -> None:
    """Draw one test image and its neighbours, in a frame that depends on their class."""
    row[0].imshow(picture(sheet.image), cmap="gray", vmin=0, vmax=1, interpolation="none")
    blank(row[0])
    wrong = "" if sheet.true == sheet.predicted else f"\n(true: {_two_lines(sheet.true)})"
    why = f"{sheet.why}\n" if sheet.why else ""
    between = " " if len(sheet.predicted) <= 6 else "\n"
    row[0].set_title(
        f"{why}predicted{between}{_two_lines(sheet.predicted)}{wrong}", size=8, weight="bold"
    )
    row[0].set_xlabel(sheet.note, size=7.4)
    written = {name: _written(name, values) for name, values in sheet.numbers.items()}
    for rank, axes in enumerate(row[1:]):
        if rank >= len(sheet.classes):
            axes.set_visible(False)
            continue
        axes.imshow(
            picture(sheet.neighbours[rank]), cmap="gray", vmin=0, vmax=1, interpolation="none"
        )
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        _frame(axes, sheet.classes[rank] == sheet.predicted)
        axes.set_title(_two_lines(sheet.classes[rank]), size=7.8)
        axes.set_xlabel("\n".join(values[rank] for values in written.values()), size=7.4)
        if rank == 0:
            axes.set_ylabel("\n".join(written), size=7.4, rotation=0, ha="right", va="top")
            axes.yaxis.set_label_coords(-0.08, -0.05)


def _frame(axes: Axes, is_same: bool) -> None:
    """Frame a neighbour in the colour of its class, dashed if it is not the predicted one."""
    for spine in axes.spines.values():
        line = "-" if is_same else (0, (2, 1))
        spine.set(visible=True, color=BLUE if is_same else ORANGE, linewidth=2.2, linestyle=line)


def _heat(row: np.ndarray, sheet: Sheet, heat: Heat) -> None:
    """Draw one kind of map over the test item or the neighbours."""
    blank(row[0])
    row[0].text(1, 0.5, heat.label, ha="right", va="center", size=7.4, transform=row[0].transAxes)
    shares = unit(heat.values.astype(float))
    for rank, axes in enumerate(row[1:]):
        if rank >= len(shares):
            axes.set_visible(False)
            continue
        axes.imshow(
            overlaid(sheet.image if heat.is_on_query else sheet.neighbours[rank], shares[rank])
        )
        blank(axes)


def overlaid(image: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return heat in [-1, 1] over a pale picture, [height, width, 3]; strong heat hides it."""
    below = picture(image)
    pale = 1 - 0.2 * (1 - np.clip(below.mean(axis=-1) if below.ndim == 3 else below, 0, 1))
    strength = np.abs(share) ** 0.7
    colour = mpl.colormaps[DIVERGING](0.5 + share / 2)[..., :3]
    mixed: np.ndarray = pale[..., None] * (1 - strength[..., None]) + colour * strength[..., None]
    return mixed


def _two_lines(name: str) -> str:
    """Return the name of a class on at most two short lines."""
    return "\n".join(shorten(line, 15) for line in (textwrap.wrap(name, 15)[:2] or [name]))


def _written(name: str, values: np.ndarray) -> list[str]:
    """Write the numbers of a test item with the same decimals; only 1 reads as 1."""
    if name != "similarity":
        largest = float(np.abs(values).max())
        return [f"{'+' if entry > 0 else ''}{number(float(entry), largest)}" for entry in values]
    places = max(len(below_one(float(near), 2).partition(".")[2]) for near in values)
    return [f"{near:.{places}f}" for near in values]


def _legend(figure: Figure, sheets: Sequence[Sheet]) -> None:
    """Explain frames (markers in tables), numbers and maps."""
    handles = [
        Line2D([], [], color=BLUE, lw=2.5),
        Line2D([], [], color=ORANGE, lw=2.5, ls=(0, (2, 1))),
    ]
    if sheets[0].image.ndim == 1:
        handles = [
            Line2D([], [], color=BLUE, marker="s", ls=""),
            Line2D([], [], color=ORANGE, marker="D", ls=""),
        ]
    shown = {name for sheet in sheets for name in sheet.numbers} | {
        "maps" for sheet in sheets if sheet.heats
    }
    title = " ".join(words for name, words in MEANINGS.items() if name in shown)
    figure.legend(
        handles, [SAME, OTHER], loc="outside lower center", ncols=2, title=title, title_fontsize=8
    )


def _table_sheet(sheets: Sequence[Sheet], name: str) -> Drawing:
    """Write table rows below one another: each test row in bold, then its neighbours."""
    n_lines = sum(len(sheet.classes) + 3 for sheet in sheets)
    figure = Figure(figsize=(12.6, 0.5 + 0.22 * n_lines), layout="constrained")
    axes = figure.subplots()
    blank(axes)
    axes.set(xlim=(0, 1), ylim=(n_lines, 0))
    line = 0
    for sheet in sheets:
        line = _block(axes, sheet, line)
    _legend(figure, sheets)
    return Drawing(figure, f"Neighbours in {name}", _alt(sheets, name), data(sheets))


def _block(axes: Axes, sheet: Sheet, line: int) -> int:
    """Write one test row and its neighbours; return the next free line."""
    edges = np.linspace(0.33, 1, len(sheet.numbers) + len(sheet.features) + 1)[1:]
    heads = [*sheet.numbers, *sheet.features]
    why = f"{sheet.why}; " if sheet.why else ""
    axes.text(
        0,
        line + 0.6,
        f"{why}{sheet.note}".replace("\n", ", "),
        size=8.2,
        va="center",
        style="italic",
    )
    for edge, head in zip(edges, heads, strict=True):
        words = "\n".join(textwrap.wrap(shorten(head.replace("_", " "), 26), 14))
        axes.text(edge, line + 0.6, words, size=7.6, ha="right", va="center")
    wrong = "" if sheet.true == sheet.predicted else f" (true: {sheet.true})"
    axes.text(
        0.02,
        line + 1.7,
        f"test row, predicted {sheet.predicted}{wrong}",
        size=8.2,
        weight="bold",
        va="center",
    )
    values = [*[""] * len(sheet.numbers), *(number(float(entry), 1.0) for entry in sheet.image)]
    for edge, text in zip(edges, values, strict=True):
        axes.text(edge, line + 1.7, text, size=8.2, weight="bold", ha="right", va="center")
    axes.axhline(line + 2.2, color=BLUE, lw=0.5)
    written = [_written(name, numbers) for name, numbers in sheet.numbers.items()]
    for rank, label in enumerate(sheet.classes):
        at, colour = line + 2.7 + rank, BLUE if label == sheet.predicted else ORANGE
        axes.plot(
            [0.004], [at], marker="s" if label == sheet.predicted else "D", color=colour, ms=5
        )
        axes.text(0.02, at, f"{rank + 1}. {shorten(label)}", size=8.2, va="center")
        cells = [
            *(column[rank] for column in written),
            *(number(float(entry), 1.0) for entry in sheet.neighbours[rank]),
        ]
        for edge, text in zip(edges, cells, strict=True):
            axes.text(edge, at, text, size=8.2, ha="right", va="center")
    return line + len(sheet.classes) + 3


def _alt(sheets: Sequence[Sheet], name: str) -> str:
    """Count how many neighbours are of the predicted class."""
    same = sum(label == sheet.predicted for sheet in sheets for label in sheet.classes)
    total = sum(len(sheet.classes) for sheet in sheets)
    names = ", ".join(sheets[0].numbers)
    return (
        f"{len(sheets)} test items of {name} with the training samples that explain them, "
        f"strongest first, with class{f', {names}' if names else ''}; "
        f"{same} of the {total} neighbours are of the predicted class."
    )


def data(sheets: Sequence[Sheet]) -> pd.DataFrame:
    """Return the numbers of the sheets, one row a neighbour: item, rank, class, each number."""
    rows = [
        {
            "item": item,
            "why": sheet.why,
            "predicted": sheet.predicted,
            "true": sheet.true,
            "rank": rank,
            "class": label,
        }
        | {name: values[rank] for name, values in sheet.numbers.items()}
        for item, sheet in enumerate(sheets)
        for rank, label in enumerate(sheet.classes)
    ]
    return pd.DataFrame(rows)

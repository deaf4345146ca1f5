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

from gpex_bench.plots.maps import picture, show, unit
from gpex_bench.plots.style import BLUE, DIVERGING, GREY, ORANGE, Drawing, blank, shorten, styled
from gpex_bench.tables.words import below_one, number
from gpex_bench.types import value

SAME = "training sample of the predicted class, or with the explained label"
OTHER = "of another class, or without it"
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
    classes: Sequence[str]  # [k]: the target of each neighbour: a class, labels or a number
    # [k] each, by name, in the order shown: similarity, contribution, ...
    numbers: dict[str, np.ndarray]
    heats: Sequence[Heat] = ()
    why: str = ""  # by which rule the item was chosen
    note: str = ""  # more about the item, in lines
    features: Sequence[str] = ()  # names of the columns of a table
    # [1 + k][feature]: their values in words, of the item and of each neighbour; empty: as numbers
    values: Sequence[Sequence[str]] = ()
    # [k]: which are of the predicted class, or have the explained label; None where the targets are
    # numbers; empty: those whose class has the name of the predicted one
    alike: Sequence[bool] | None = ()

    def is_alike(self, rank: int) -> bool | None:
        """Whether a neighbour is of the predicted class; None where there are no classes."""
        if self.alike is None:
            return None
        return self.alike[rank] if self.alike else self.classes[rank] == self.predicted


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

    figure, grid = _panels(sheets)
    rows = iter(grid)
    for sheet in sheets:
        _images(next(rows), sheet)
        for heat in sheet.heats:
            _heat(next(rows), sheet, heat)

    has_heats = any(sheet.heats for sheet in sheets)
    if has_heats:
        scale = ScalarMappable(Normalize(-1, 1), DIVERGING)
        bar = figure.colorbar(
            scale, ax=grid, location="bottom", shrink=0.45, aspect=45, pad=0.01, ticks=[-1, 0, 1]
        )
        bar.set_label(HEAT, size=8.5)
    _legend(figure, sheets)
    return Drawing(figure, f"Neighbours in {name}", _alt(sheets, name), data(sheets))


def _panels(sheets: Sequence[Sheet]) -> tuple[Figure, np.ndarray]:
    """Return a figure with a row of panels for each sheet's images and for each kind of map."""
    n_columns = 1 + max(len(sheet.classes) for sheet in sheets)
    n_numbers = max(len(sheet.numbers) for sheet in sheets)

    # Rows of images are higher than rows of maps: titles and numbers need the room.
    heights: list[float] = []
    for sheet in sheets:
        heights.append(1.0)
        heights += [0.74] * len(sheet.heats)
    n_heat_rows = len(heights) - len(sheets)

    width = 1.02 * n_columns + 1.1
    image_height = 1.35 + 0.14 * n_numbers
    height = 0.9 + image_height * len(sheets) + 0.96 * n_heat_rows

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0.01)  # type: ignore[union-attr, call-arg]
    widths = [1.35, *[1.0] * (n_columns - 1)]
    ratios = {"height_ratios": heights, "width_ratios": widths}
    grid = figure.subplots(len(heights), n_columns, squeeze=False, gridspec_kw=ratios)
    return figure, grid


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

        is_table = sheet.image.ndim == 1
        if is_table and len(sheet.features) != len(sheet.image):
            columns = f"the {len(sheet.image)} columns of a table's rows"
            raise ValueError(f"features must name {columns}, got {len(sheet.features)}.")


def _images(row: np.ndarray, sheet: Sheet) -> None:
    """Draw one test image and its neighbours, in a frame that depends on their class."""
    item_axes = row[0]
    show(item_axes, sheet.image)
    item_axes.set_title(_item_title(sheet), size=8, weight="bold")
    item_axes.set_xlabel(sheet.note, size=7.4)

    texts = {name: _written(name, values) for name, values in sheet.numbers.items()}
    for rank, axes in enumerate(row[1:]):
        if rank >= len(sheet.classes):
            axes.set_visible(False)
            continue

        label = sheet.classes[rank]
        show(axes, sheet.neighbours[rank])
        _frame(axes, sheet.is_alike(rank))
        axes.set_title(_two_lines(label), size=7.8)
        axes.set_xlabel("\n".join(text[rank] for text in texts.values()), size=7.4)

        # The names of the numbers once, left of the first neighbour.
        if rank == 0:
            axes.set_ylabel("\n".join(texts), size=7.4, rotation=0, ha="right", va="top")
            axes.yaxis.set_label_coords(-0.08, -0.05)


def _item_title(sheet: Sheet) -> str:
    """Return why an item is shown, its predicted class, and the true one where they differ."""
    why = f"{sheet.why}\n" if sheet.why else ""
    between = " " if len(sheet.predicted) <= 6 else "\n"
    title = f"{why}predicted{between}{_two_lines(sheet.predicted)}"
    if sheet.true == sheet.predicted:
        return title
    return f"{title}\n(true: {_two_lines(sheet.true)})"


def _frame(axes: Axes, is_same: bool | None) -> None:
    """Frame a neighbour in the colour of its class, dashed if it is not the predicted one."""
    line = (0, (2, 1)) if is_same is False else "-"
    colour = {True: BLUE, False: ORANGE, None: GREY}[is_same]
    for spine in axes.spines.values():
        spine.set(visible=True, color=colour, linewidth=2.2, linestyle=line)


def _heat(row: np.ndarray, sheet: Sheet, heat: Heat) -> None:
    """Draw one kind of map over the test item or the neighbours."""
    label_axes = row[0]
    blank(label_axes)
    label_axes.text(
        1, 0.5, heat.label, ha="right", va="center", size=7.4, transform=label_axes.transAxes
    )

    shares = unit(heat.values.astype(float))
    for rank, axes in enumerate(row[1:]):
        if rank >= len(shares):
            axes.set_visible(False)
            continue

        image = sheet.image if heat.is_on_query else sheet.neighbours[rank]
        axes.imshow(overlaid(image, shares[rank]))
        blank(axes)


def overlaid(image: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return heat in [-1, 1] over a pale picture, [height, width, 3]; strong heat hides it."""
    below = picture(image)
    grey = below.mean(axis=-1) if below.ndim == 3 else below
    # The picture keeps a fifth of its contrast, near white.
    pale = 1 - 0.2 * (1 - np.clip(grey, 0, 1))

    colour_map = mpl.colormaps[DIVERGING]
    colour = colour_map(0.5 + share / 2)[..., :3]
    # A power below 1, so that weak heat is seen too.
    strength = np.abs(share) ** 0.7
    strength = strength[..., None]
    mixed: np.ndarray = pale[..., None] * (1 - strength) + colour * strength
    return mixed


def _two_lines(name: str) -> str:
    """Return the name of a class on at most two short lines."""
    lines = textwrap.wrap(name, 15)[:2] or [name]
    return "\n".join(shorten(line, 15) for line in lines)


def _written(name: str, values: np.ndarray) -> list[str]:
    """Write the numbers of a test item with the same decimals; only 1 reads as 1."""
    if name == "similarity":
        decimals = [below_one(float(near), 2).partition(".")[2] for near in values]
        places = max(len(digits) for digits in decimals)
        return [f"{near:.{places}f}" for near in values]

    largest = float(np.abs(values).max())
    texts = []
    for entry in values:
        sign = "+" if entry > 0 else ""
        texts.append(f"{sign}{number(float(entry), largest)}")
    return texts


def _legend(figure: Figure, sheets: Sequence[Sheet]) -> None:
    """Explain frames (markers in tables), numbers and maps."""
    is_table = sheets[0].image.ndim == 1
    if is_table:
        same = Line2D([], [], color=BLUE, marker="s", ls="")
        other = Line2D([], [], color=ORANGE, marker="D", ls="")
    else:
        same = Line2D([], [], color=BLUE, lw=2.5)
        other = Line2D([], [], color=ORANGE, lw=2.5, ls=(0, (2, 1)))

    shown: set[str] = set()
    for sheet in sheets:
        shown.update(sheet.numbers)
        if sheet.heats:
            shown.add("maps")

    meanings = [text for name, text in MEANINGS.items() if name in shown]
    has_classes = sheets[0].alike is not None
    figure.legend(
        [same, other] if has_classes else [],
        [SAME, OTHER] if has_classes else [],
        loc="outside lower center",
        ncols=2,
        title=" ".join(meanings),
        title_fontsize=8,
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
    heads = [*sheet.numbers, *sheet.features]
    # Right edges of the columns; the first third is for the names of the rows.
    edges = np.linspace(0.33, 1, len(heads) + 1)[1:]

    about = "; ".join(filter(None, (sheet.why, sheet.note))).replace("\n", ", ")
    axes.text(0, line + 0.6, about, size=8.2, va="center", style="italic")
    for edge, head in zip(edges, heads, strict=True):
        short = shorten(head.replace("_", " "), 26)
        words = "\n".join(textwrap.wrap(short, 14))
        axes.text(edge, line + 0.6, words, size=7.6, ha="right", va="center")

    wrong = "" if sheet.true == sheet.predicted else f" (true: {sheet.true})"
    title = f"test row, predicted {sheet.predicted}{wrong}"
    axes.text(0.02, line + 1.7, title, size=8.2, weight="bold", va="center")

    # A test row has no similarity or contribution: these columns stay empty.
    cells = [*[""] * len(sheet.numbers), *_features(sheet, 0)]
    for edge, text in zip(edges, cells, strict=True):
        axes.text(edge, line + 1.7, text, size=8.2, weight="bold", ha="right", va="center")
    axes.axhline(line + 2.2, color=BLUE, lw=0.5)

    columns = [_written(name, numbers) for name, numbers in sheet.numbers.items()]
    for rank, label in enumerate(sheet.classes):
        height = line + 2.7 + rank
        is_same = sheet.is_alike(rank)
        if is_same is not None:
            marker = "s" if is_same else "D"
            axes.plot([0.004], [height], marker=marker, color=BLUE if is_same else ORANGE, ms=5)
        axes.text(0.02, height, f"{rank + 1}. {shorten(label)}", size=8.2, va="center")

        cells = [column[rank] for column in columns]
        cells += _features(sheet, 1 + rank)
        for edge, text in zip(edges, cells, strict=True):
            axes.text(edge, height, text, size=8.2, ha="right", va="center")
    return line + len(sheet.classes) + 3


def _features(sheet: Sheet, place: int) -> list[str]:
    """Write the features of a table's row: of the item, which is the first, or of a neighbour."""
    if sheet.values:
        return [shorten(text, 16) for text in sheet.values[place]]
    row = sheet.neighbours[place - 1] if place else sheet.image
    return [number(float(entry), 1.0) for entry in row]


def _alt(sheets: Sequence[Sheet], name: str) -> str:
    """Count how many neighbours are of the predicted class, or have the explained label."""
    has_classes = sheets[0].alike is not None
    numbers = ", ".join(["class" if has_classes else "target", *sheets[0].numbers])
    text = (
        f"{len(sheets)} test items of {name} with the training samples that explain them, "
        f"strongest first, with {numbers}"
    )
    if not has_classes:
        return f"{text}."

    is_alike = [sheet.is_alike(rank) for sheet in sheets for rank in range(len(sheet.classes))]
    return (
        f"{text}; {sum(map(bool, is_alike))} of the {len(is_alike)} neighbours are of the "
        "predicted class."
    )


def data(sheets: Sequence[Sheet]) -> pd.DataFrame:
    """Return the numbers of the sheets, one row a neighbour: item, rank, class, each number."""
    rows = []
    for item, sheet in enumerate(sheets):
        for rank, label in enumerate(sheet.classes):
            row = {
                "item": item,
                "why": sheet.why,
                "predicted": sheet.predicted,
                "true": sheet.true,
                "rank": rank,
                "class": label,
            }
            numbers = {name: values[rank] for name, values in sheet.numbers.items()}
            rows.append(row | numbers)
    return pd.DataFrame(rows)

"""Shared by all figures: colours, sizes, and SVG and PNG that depend on the drawing alone."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from html import escape
from typing import Any, ParamSpec

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from gpex_bench.plots.compact import FONT, compact

# The report's style sheet turns exactly these three colours light on a dark page.
INK = "#1b1f24"  # text and axes
FAINT = "#d0d4d9"  # grid lines
GREY = "#6b737c"  # controls

# Seaborn's "colorblind" palette.
BLUE = "#0173b2"
ORANGE = "#de8f05"
COLOURS = (
    BLUE,
    ORANGE,
    "#029e73",
    "#cc78bc",
    "#ca9161",
    "#949494",
    "#fbafe4",
    "#56b4e9",
    "#d55e00",
    "#ece133",
)
# One for each colour, so that no reader depends on the colours.
MARKERS = "osD^vP*X<>"
DIVERGING = "RdBu_r"  # blue against, white none, red for the target
DOTS = 144  # per inch, of point clouds: they are drawn as a picture
N_LABEL = 26  # characters of a name before it is shortened

RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    # A dollar sign in a name is a dollar sign.
    "text.parse_math": False,
    # Text stays text: it can be searched, selected and read aloud.
    "svg.fonttype": "none",
    "hatch.linewidth": 0.5,
}
P = ParamSpec("P")


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure with what is needed to publish it."""

    figure: Figure
    title: str
    alt: str  # what the figure shows, for a reader who does not see it
    data: pd.DataFrame  # the numbers in it


def styled(draw: Callable[P, Drawing]) -> Callable[P, Drawing]:
    """Run a drawing function in the house style, leaving the global style alone."""

    @wraps(draw)
    def run(*args: P.args, **kwargs: P.kwargs) -> Drawing:
        with mpl.rc_context(dict(mpl.rcParamsDefault) | RC):
            return draw(*args, **kwargs)

    return run


def to_svg(drawing: Drawing, name: str) -> str:
    """Return the drawing as SVG text, for a file or inside a page, with its alternative text.

    Args:
        drawing: what to write.
        name: an id, unique in the page; all ids in the SVG start with it.
    """
    buffer = io.StringIO()
    keep = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with mpl.rc_context(RC | {"svg.hashsalt": name}):
        drawing.figure.savefig(buffer, format="svg", transparent=True, metadata=keep, dpi=DOTS)
    body = buffer.getvalue()
    body = body[body.index("<svg ") :]
    sizes = re.findall(r'(?:width|height)="([\d.]+)pt"', body[:600])
    width, height = (float(size) for size in sizes[:2])

    inside = body[body.index(">") + 1 :]
    inside = re.sub(r"<metadata>.*?</metadata>", "", inside, count=1, flags=re.DOTALL)
    # The id of a picture is a hash of its content: two equal ones would share it.
    inside = re.sub(r' id="image[0-9a-f]+"', "", inside)
    inside = _numbered(compact(inside))
    inside = re.sub(r'(\bid="|href="#|url\(#)', lambda found: f"{found[0]}{name}-", inside)

    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width:g} {height:g}" '
        f'width="{width * 4 / 3:.0f}" height="{height * 4 / 3:.0f}" '
        f'role="img" aria-labelledby="{name}-title {name}-alt" font-family="{FONT}">\n'
        f'<title id="{name}-title">{escape(drawing.title)}</title>\n'
        f'<desc id="{name}-alt">{escape(drawing.alt)}</desc>'
    )
    return head + inside


def _numbered(svg: str) -> str:
    """Replace matplotlib's hashed ids by numbers, in the order in which they appear.

    The hashes are of unrounded positions, whose last bits depend on the order in which the layout
    was solved.
    """
    known: dict[str, str] = {}
    return re.sub(
        r'(?<=id="|f="#|rl\(#)[a-z][0-9a-f]{10}\b',
        lambda found: known.setdefault(found[0], f"i{len(known)}"),
        svg,
    )


def to_png(drawing: Drawing, dpi: int = 160) -> bytes:
    """Return the drawing as a PNG on white."""
    buffer = io.BytesIO()
    with mpl.rc_context(RC):
        drawing.figure.savefig(
            buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None}
        )
    return buffer.getvalue()


def network_name(frame: pd.DataFrame) -> str:
    """Return "dataset (model)" of a frame that holds one of each.

    Raises:
        ValueError: it holds several.
    """
    pairs = frame[["dataset", "model"]].drop_duplicates()
    if len(pairs) != 1:
        raise ValueError(
            f"frame must be of one dataset and model, got {pairs.to_numpy().tolist()}; "
            "pass one at a time."
        )
    return f"{pairs.iloc[0]['dataset']} ({pairs.iloc[0]['model']})"


def shorten(name: str, length: int = N_LABEL) -> str:
    """Return the name, cut to a length with an ellipsis."""
    return name if len(name) <= length else name[: length - 1] + "…"


def words(name: str) -> str:
    """Return a run id as it is shown on two lines where it is long."""
    if len(name) <= 12 or "_" not in name:
        return name
    cuts = [place for place, character in enumerate(name) if character == "_"]
    best = min(cuts, key=lambda place: abs(place - len(name) / 2))
    return f"{name[: best + 1]}\n{name[best + 1 :]}"


def plain_numbers(*sides: Axis) -> None:
    """Write the numbers of logarithmic axes without powers: mathematical text is switched off."""
    for side in sides:
        side.set_major_formatter(FuncFormatter(lambda place, _: f"{place:g}"))
        side.set_minor_formatter(NullFormatter())


def blank(axes: Axes) -> None:
    """Take ticks, grid and frame away."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)

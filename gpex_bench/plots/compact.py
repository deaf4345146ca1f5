"""A figure's SVG without what no reader sees: what matplotlib writes shrinks to a third.

Coordinates are rounded to a tenth of a point, groups without a purpose are unwrapped, ids that
nothing refers to and outlines without a line go, and embedded pictures get a palette. Nothing moves
by more than a reader can see.
"""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from PIL import Image

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
# Written once, at the root of each figure.
FONT = "'DejaVu Sans',sans-serif"

# Of an embedded picture: maps of one hue look the same, and cost a third.
N_COLOURS = 32
DEFAULTS = ("stroke-linejoin:miter", "font-family:" + FONT)


def compact(inside: str) -> str:
    """Return the elements inside a figure's `<svg>` (with `</svg>` at the end), smaller."""
    head = f'<svg xmlns="{SVG[1:-1]}" xmlns:xlink="{XLINK[1:-1]}">'
    root = ElementTree.fromstring(head + inside)
    references = re.findall(r'(?:href="|url\()#([^")]+)', inside)
    _shrink(root, set(references))

    ElementTree.register_namespace("", SVG[1:-1])
    ElementTree.register_namespace("xlink", XLINK[1:-1])
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)

    # The figure writes its own start tag.
    _, _, below_root = text.partition(">")
    return below_root.replace(" />", "/>")


def _shrink(parent: Element, used: set[str]) -> None:
    """Shrink the children of an element, deepest first."""
    kept: list[Element] = []
    for child in list(parent):
        _shrink(child, used)
        _attributes(child, used)
        child.tail = None
        if child.tag in (f"{SVG}metadata", f"{SVG}style") or _is_invisible(child):
            continue

        is_group = child.tag == f"{SVG}g"
        is_empty = len(child) == 0 and child.tag in (f"{SVG}g", f"{SVG}defs")
        if is_group and not child.attrib:
            kept += list(child)
        elif not is_empty:
            kept.append(child)

    # White space between elements.
    text = parent.text or ""
    if not text.strip():
        parent.text = None
    parent[:] = kept
    _share(parent)


def _share(parent: Element) -> None:
    """Move a style that all children of a group have to the group."""
    is_group = parent.tag == f"{SVG}g"
    if not is_group or parent.get("style") or len(parent) < 2:
        return
    styles = {child.get("style", "") for child in parent}
    if len(styles) > 1:
        return

    (style,) = styles
    # Children do not inherit these.
    is_own = re.search(r"(^|;)(opacity|clip-path|mask)", style)
    if not style or is_own:
        return
    parent.set("style", style)
    for child in parent:
        del child.attrib["style"]


def _is_invisible(element: Element) -> bool:
    """Return whether an element is an outline without stroke and fill that nothing refers to."""
    return (
        element.tag == f"{SVG}path"
        and element.get("style") == "fill:none"
        and "id" not in element.attrib
    )


def _attributes(element: Element, used: set[str]) -> None:
    """Shorten the attributes of one element."""
    if element.get("id") not in used:
        element.attrib.pop("id", None)

    for name, text in list(element.attrib.items()):
        if name == "style":
            element.set(name, _short_style(text))
        elif name == "transform" and re.match(r"rotate\(-?0 ", text):
            del element.attrib[name]
        elif name == "transform":
            element.set(name, _rounded(text, 4))
        elif name in ("d", "points", "x", "y", "width", "height"):
            element.set(name, _without_spaces(_rounded(text, 1)))
        elif name == f"{XLINK}href" and text.startswith("data:image/png"):
            element.set(name, _with_palette(text))

    if element.get("style") == "":
        del element.attrib["style"]


def _short_style(text: str) -> str:
    """Return a style without white space and without what is the default."""
    kept = []
    for part in text.split(";"):
        short = part.strip().replace(": ", ":").replace(", ", ",")
        if short and short not in DEFAULTS:
            kept.append(short)
    return ";".join(kept)


def _rounded(text: str, places: int) -> str:
    """Return text with its numbers rounded."""

    def short(found: re.Match[str]) -> str:
        # Adding 0 makes 0 of -0.
        return f"{round(float(found[0]), places) + 0:g}"

    return re.sub(r"-?\d+\.\d+", short, text)


def _without_spaces(text: str) -> str:
    """Return text with white space only where it parts two numbers."""
    single = re.sub(r"\s+", " ", text)
    return re.sub(r" ?([A-DF-Za-df-z]) ?", r"\1", single).strip()


def _with_palette(text: str) -> str:
    """Return an embedded picture with a palette, where that is smaller, on one line."""
    raw = base64.b64decode(text.partition("base64,")[2])
    image = Image.open(io.BytesIO(raw)).convert("RGBA")
    lowest, _ = image.getchannel("A").getextrema()

    # Only this way of choosing colours keeps transparency.
    if lowest < 255:  # type: ignore[operator]
        small = image.quantize(N_COLOURS, Image.Quantize.FASTOCTREE)
    else:
        opaque = image.convert("RGB")
        cut = Image.Quantize.MEDIANCUT
        small = opaque.quantize(N_COLOURS, cut, dither=Image.Dither.NONE)

    buffer = io.BytesIO()
    small.save(buffer, format="png", optimize=True)
    shortest = min(buffer.getvalue(), raw, key=len)
    return f"data:image/png;base64,{base64.b64encode(shortest).decode()}"

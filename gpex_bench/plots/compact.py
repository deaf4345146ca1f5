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
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', inside))
    _shrink(root, used)
    for prefix, space in (("", SVG), ("xlink", XLINK)):
        ElementTree.register_namespace(prefix, space[1:-1])
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
    return text[text.index(">") + 1 :].replace(" />", "/>")


def _shrink(parent: Element, used: set[str]) -> None:
    """Shrink the children of an element, deepest first."""
    kept: list[Element] = []
    for child in list(parent):
        _shrink(child, used)
        _attributes(child, used)
        child.tail = None
        if child.tag in (f"{SVG}metadata", f"{SVG}style") or _is_invisible(child):
            continue
        if child.tag == f"{SVG}g" and not child.attrib:
            kept += list(child)
        elif not (child.tag in (f"{SVG}g", f"{SVG}defs") and not len(child)):
            kept.append(child)
    if not (parent.text or "").strip():
        parent.text = None
    parent[:] = kept
    _share(parent)


def _share(parent: Element) -> None:
    """Move a style that all children of a group have to the group."""
    styles = {child.get("style", "") for child in parent}
    if parent.tag != f"{SVG}g" or parent.get("style") or len(parent) < 2 or len(styles) > 1:
        return
    (style,) = styles
    if style and not re.search(r"(^|;)(opacity|clip-path|mask)", style):  # these are not inherited
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
            parts = [part.strip().replace(": ", ":").replace(", ", ",") for part in text.split(";")]
            element.set(name, ";".join(part for part in parts if part and part not in DEFAULTS))
        elif name == "transform" and re.match(r"rotate\(-?0 ", text):
            del element.attrib[name]
        elif name in ("d", "points", "x", "y", "width", "height", "transform"):
            element.set(name, _rounded(text, 4 if name == "transform" else 1))
        elif name == f"{XLINK}href":
            element.set(name, _with_palette(text) if text.startswith("data:image/png") else text)
    if element.get("style") == "":
        del element.attrib["style"]


def _rounded(text: str, places: int) -> str:
    """Return text with its numbers rounded, and white space only where it parts two numbers."""
    short = re.sub(r"-?\d+\.\d+", lambda found: f"{round(float(found[0]), places) + 0:g}", text)
    return (
        re.sub(r" ?([A-DF-Za-df-z]) ?", r"\1", re.sub(r"\s+", " ", short)).strip()
        if places == 1
        else short
    )


def _with_palette(text: str) -> str:
    """Return an embedded picture with a palette, where that is smaller, on one line."""
    raw = base64.b64decode(text.partition("base64,")[2])
    image = Image.open(io.BytesIO(raw)).convert("RGBA")
    if image.getchannel("A").getextrema()[0] < 255:  # type: ignore[operator]
        image = image.quantize(N_COLOURS, Image.Quantize.FASTOCTREE)
    else:
        image = image.convert("RGB").quantize(
            N_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    small = min(buffer.getvalue(), raw, key=len)
    return f"data:image/png;base64,{base64.b64encode(small).decode()}"

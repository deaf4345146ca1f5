"""Image files → bytes of one size: what Pillow reads, shown as a person sees it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

Colour = Literal["rgb", "grey"]
Fit = Literal[
    "crop",  # the largest square in the middle, scaled
    "pad",  # all of it, scaled, with black edges
    "stretch",  # all of it, scaled to a square
]
MODES = {"rgb": "RGB", "grey": "L"}
WHITE = (255, 255, 255, 255)


@dataclass(frozen=True)
class Form:
    """What all images are made to be."""

    side: int | None  # pixels; None: as they are
    fit: Fit
    colour: Colour


@cache
def endings() -> frozenset[str]:
    """Return the endings of the files that Pillow can read, such as ".png"."""
    return frozenset(
        ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN
    )


def decoded(
    path: Path, name: str, form: Form, notes: dict[str, int]
) -> UInt8[np.ndarray, "channel height width"]:
    """Return an image: turned as its EXIF entry says, transparent parts over white.

    Args:
        path: of the file.
        name: of the image, for messages.
        form: size and colours.
        notes: how many images were changed in which way; is added to.

    Raises:
        ValueError: it cannot be read, has several frames, or levels without a known range.
    """
    try:
        with warnings.catch_warnings(), Image.open(path) as file:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            n_frames = getattr(file, "n_frames", 1)
            image = _opaque(_eight_bits(ImageOps.exif_transpose(file), name, notes), notes)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).replace(str(path), name).split())
        raise ValueError(
            f"{name} cannot be read as an image ({reason}); mend or remove it."
        ) from error
    if n_frames > 1:
        raise ValueError(
            f"{name} has {n_frames} frames or pages; save each as an image, or remove it."
        )

    coloured = image.convert(MODES[form.colour])
    pixels = np.asarray(_of_size(coloured, form, notes))
    return pixels[None].copy() if form.colour == "grey" else pixels.transpose(2, 0, 1).copy()


def _eight_bits(image: Image.Image, name: str, notes: dict[str, int]) -> Image.Image:
    """Return an image with 256 levels; Pillow would cut off what is above."""
    if image.mode.startswith("I;16"):
        _count(notes, "have 65,536 grey levels, and were reduced to 256")
        levels = np.asarray(image).astype(np.float64) / 257
        return Image.fromarray(np.round(levels).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(
            f"{name} must have levels 0 ... 255 or 0 ... 65535, got Pillow's mode {image.mode}, "
            "whose range is not known; save it as 8 or 16 bits."
        )
    image.load()
    return image


def _opaque(image: Image.Image, notes: dict[str, int]) -> Image.Image:
    """Return an image without transparency: what is transparent shows white."""
    if not image.has_transparency_data:
        return image
    layered = image.convert("RGBA")
    lowest, _ = layered.getchannel("A").getextrema()
    if lowest == 255:
        return layered.convert("RGB")
    _count(notes, "have transparent parts, which are white")
    return Image.alpha_composite(Image.new("RGBA", layered.size, WHITE), layered)


def _of_size(image: Image.Image, form: Form, notes: dict[str, int]) -> Image.Image:
    """Return a square image of the wanted side."""
    if form.side is None:
        return image
    if min(image.size) < form.side:
        _count(notes, f"are smaller than {form.side} pixels, and were enlarged")
    size = (form.side, form.side)
    bilinear = Image.Resampling.BILINEAR
    if form.fit == "crop":
        return ImageOps.fit(image, size, bilinear)
    return (
        ImageOps.pad(image, size, bilinear) if form.fit == "pad" else image.resize(size, bilinear)
    )


def _count(notes: dict[str, int], what: str) -> None:
    notes[what] = notes.get(what, 0) + 1

"""What a generated image of `shapes` holds, how it is drawn at random, and how it is painted.

Each quantity of each split has a random stream of its own. Drawing a quantity for more images
leaves those of the first images as they are.
"""

from __future__ import annotations

from enum import IntEnum, auto
from itertools import product

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8

from gpex_bench.data.painted import glyphs
from gpex_bench.types import value

SIDE = 32  # of an image, in pixels
GREY = 128  # mean of the background in each channel, of 255
RADII = (4, 5, 6)  # of part and distractor, in pixels: 9 to 13 pixels wide
CONTRAST = (50, 110)  # how far each channel of an object's colour lies from the background's mean
PATCH = 4  # side of the shortcut, in pixels
CELL = 8  # side of a cell of the background's coarse texture, in pixels
TEXTURE = 24  # half width of the coarse texture, in grey levels
GAP = 2  # least number of background pixels between the boxes of two objects
TRIES = 256  # pairs of places drawn for an image; the first that fits is taken


class Stream(IntEnum):
    """A random stream."""

    PART = auto()
    DISTRACTOR = auto()
    RADIUS = auto()
    PLACE = auto()
    SIGN = auto()
    CONTRAST = auto()
    TEXTURE = auto()
    NOISE = auto()
    SHORTCUT = auto()


@value
class Scenes:
    """What the images of one split hold. `object` 0 is the part, 1 the distractor."""

    part: Int[np.ndarray, "n"]
    distractor: Int[np.ndarray, "n"]
    radius: Int[np.ndarray, "n object=2"]
    place: Int[np.ndarray, "n object=2 axis=2"]  # row and column of the centre
    colour: Int[np.ndarray, "n object=2 channel=3"]
    ground: Int[np.ndarray, "n channel=3 height width"]  # background without noise
    noise: Int[np.ndarray, "n channel=3 height width"]
    has_patch: Bool[np.ndarray, "n"]


def draw(n: int, noise: int, shortcut: float, entropy: tuple[int, int]) -> Scenes:
    """Return n random scenes; `entropy` is the seed and the number of the split."""
    stream = {name: np.random.default_rng([*entropy, name]) for name in Stream}

    # each block of eight images has each part once, so that every prefix is balanced
    n_parts = len(glyphs.PARTS)
    n_blocks = -(-n // n_parts)
    order = stream[Stream.PART].random((n_blocks, n_parts)).argsort(axis=1)

    radius = stream[Stream.RADIUS].choice(RADII, size=(n, 2))
    sign = stream[Stream.SIGN].choice((-1, 1), size=(n, 2, 3))
    contrast = stream[Stream.CONTRAST].integers(*CONTRAST, size=(n, 2, 3), endpoint=True)
    pixels = (n, 3, SIDE, SIDE)
    return Scenes(
        part=order.ravel()[:n],
        distractor=stream[Stream.DISTRACTOR].integers(len(glyphs.DISTRACTORS), size=n),
        radius=radius,
        place=_places(stream[Stream.PLACE], radius),
        colour=GREY + sign * contrast,
        ground=GREY + texture(stream[Stream.TEXTURE], n),
        noise=stream[Stream.NOISE].integers(-noise, noise, size=pixels, endpoint=True),
        has_patch=stream[Stream.SHORTCUT].random(n) < shortcut,
    )


def _places(
    rng: np.random.Generator, radius: Int[np.ndarray, "n object=2"]
) -> Int[np.ndarray, "n object=2 axis=2"]:
    """Return centres, uniform among the pairs that fit.

    A pair fits if both are inside, clear of one another and of the patch's corner.
    """
    n = len(radius)
    reach = radius[:, None, :, None]  # [n, try, object, axis]
    places = rng.integers(reach + 1, SIDE - reach - 1, size=(n, TRIES, 2, 2))

    # the last pair always fits: part in the top right corner, distractor in the bottom left one
    near = radius + 1
    far = SIDE - 2 - radius
    places[:, -1, 0] = np.stack([near[:, 0], far[:, 0]], axis=1)
    places[:, -1, 1] = np.stack([far[:, 1], near[:, 1]], axis=1)

    # apart along one axis is enough, for the two objects and for object and patch
    part = places[:, :, 0]
    distractor = places[:, :, 1]
    distance = abs(part - distractor)
    least = radius.sum(axis=1) + GAP
    is_apart = (distance > least[:, None, None]).any(axis=-1)

    start = places - reach
    object_is_clear = (start >= PATCH + GAP).any(axis=-1)
    is_clear = object_is_clear.all(axis=-1)

    first = (is_apart & is_clear).argmax(axis=1)
    row = np.arange(n)
    return places[row, first]


def texture(rng: np.random.Generator, n: int) -> Int[np.ndarray, "n channel=3 height width"]:
    """Return smooth noise: random grey levels on a coarse grid, interpolated in whole numbers."""
    n_knots = SIDE // CELL + 1
    knots = rng.integers(-TEXTURE, TEXTURE, size=(n, 3, n_knots, n_knots), endpoint=True)

    pixel = np.arange(SIDE)[:, None]
    distance = abs(pixel - CELL * np.arange(n_knots))
    weight = np.maximum(CELL - distance, 0)  # rows sum to CELL
    smooth = weight @ knots @ weight.T
    return (smooth + CELL**2 // 2) // CELL**2


def cover(scenes: Scenes, thing: int) -> Bool[np.ndarray, "n height width"]:
    """Return the pixels of the part (0) or the distractor (1)."""
    kinds = (glyphs.PARTS, glyphs.DISTRACTORS)[thing]
    kind = (scenes.part, scenes.distractor)[thing]
    row, column = np.indices((SIDE, SIDE))
    place = scenes.place[:, thing, :, None, None]
    dx = column - place[:, 1]
    dy = row - place[:, 0]
    radius = np.broadcast_to(scenes.radius[:, thing, None, None], (len(kind), SIDE, SIDE))
    return glyphs.cover(kinds, kind, dx, dy, radius)


def dilate(pixels: Bool[np.ndarray, "n height width"]) -> Bool[np.ndarray, "n height width"]:
    """Return pixels and their eight neighbours."""
    _, height, width = pixels.shape
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    dilated = np.zeros_like(pixels)
    for down, right in product(range(3), range(3)):
        dilated |= padded[:, down : down + height, right : right + width]
    return dilated


def paint(
    scenes: Scenes, label: Int[np.ndarray, "n"]
) -> UInt8[np.ndarray, "n channel=3 height width"]:
    """Return the images; `label` decides the colour of the patch, where there is one."""
    image = scenes.ground
    for thing in (0, 1):
        pixels = cover(scenes, thing)[:, None]
        colour = scenes.colour[:, thing, :, None, None]
        image = np.where(pixels, colour, image)

    image = stamp(image, scenes.has_patch, label)
    return np.clip(image + scenes.noise, 0, 255).astype(np.uint8)


def stamp(
    image: Int[np.ndarray, "n channel=3 height width"],
    has_patch: Bool[np.ndarray, "n"],
    label: Int[np.ndarray, "n"],
) -> Int[np.ndarray, "n channel=3 height width"]:
    """Return the images with the shortcut's patch, where there is one; `label` is its colour."""
    is_patch = patches(has_patch)[:, None]
    return np.where(is_patch, patch_colour(label)[:, :, None, None], image)


def patches(has_patch: Bool[np.ndarray, "n"]) -> Bool[np.ndarray, "n height width"]:
    """Return the pixels of the patch of each image; none where it has no patch."""
    patch = np.zeros((SIDE, SIDE), dtype=bool)
    patch[:PATCH, :PATCH] = True
    return patch & has_patch[:, None, None]


def unit(image: UInt8[np.ndarray, "*pixel"]) -> torch.Tensor:
    """Return grey levels as numbers in [0, 1]."""
    return torch.from_numpy(image).float() / 255


def grey() -> torch.Tensor:
    """Return the mean of the background, as an image."""
    return unit(np.full((3, SIDE, SIDE), GREY, dtype=np.uint8))


def patch_colour(label: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n channel=3"]:
    """Return the colour that gives a class away: one of the eight corners of the colour cube."""
    bit = label[:, None] >> np.arange(3) & 1
    return GREY + (2 * bit - 1) * CONTRAST[1]

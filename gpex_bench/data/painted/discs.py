"""What a generated image of `stripes` holds, how it is drawn at random, and how it is painted.

Each quantity of each split has a random stream of its own, as in `scenes`.
"""

from __future__ import annotations

from enum import IntEnum, auto

import numpy as np
from jaxtyping import Bool, Int, UInt8

from gpex_bench.data.painted import glyphs, scenes
from gpex_bench.types import value

CELL = 16  # side of a quarter of the image: each disc lies in a quarter of its own
RADII = (3, 4)  # of a disc, in pixels
CONTRAST = (40, 90)  # of the stripes, in grey levels
STRIPE = 2  # width of a stripe, in pixels
N_DISCS = 3  # two with stripes, and the distractor
N_PAIRS = 4  # of directions
N_PATTERNS = 2  # of a distractor: plain, or a checkerboard


class Stream(IntEnum):
    """A random stream."""

    PAIR = auto()
    PATTERN = auto()
    QUARTER = auto()
    RADIUS = auto()
    PLACE = auto()
    PHASE = auto()
    SIGN = auto()
    CONTRAST = auto()
    TEXTURE = auto()
    NOISE = auto()
    SHORTCUT = auto()


@value
class Discs:
    """What the images of one split hold. Discs 0 and 1 have stripes, disc 2 is the distractor."""

    pair: Int[np.ndarray, "n"]  # of directions: bit k says whether the stripes of disc k stand
    pattern: Int[np.ndarray, "n"]  # of the distractor
    radius: Int[np.ndarray, "n disc=3"]
    place: Int[np.ndarray, "n disc=3 axis=2"]  # row and column of the centre
    phase: Int[np.ndarray, "n disc=3 axis=2"]
    colour: Int[np.ndarray, "n disc=3 channel=3"]  # how far light stripes are from the mean
    ground: Int[np.ndarray, "n channel=3 height width"]  # background without noise
    noise: Int[np.ndarray, "n channel=3 height width"]
    has_patch: Bool[np.ndarray, "n"]

    @property
    def is_crossed(self) -> Bool[np.ndarray, "n"]:
        """Whether the stripes of the two discs have different directions."""
        return (self.pair & 1) != (self.pair >> 1)


def draw(n: int, noise: int, shortcut: float, entropy: tuple[int, int]) -> Discs:
    """Return n random images; `entropy` is the seed and the number of the split."""
    stream = {name: np.random.default_rng([*entropy, name]) for name in Stream}

    # each block of four images has each pair once, so that every prefix is balanced
    n_blocks = -(-n // N_PAIRS)
    order = stream[Stream.PAIR].random((n_blocks, N_PAIRS)).argsort(axis=1)

    radius = stream[Stream.RADIUS].choice(RADII, size=(n, N_DISCS))
    quarter = stream[Stream.QUARTER].random((n, 4)).argsort(axis=1)[:, :N_DISCS]
    sign = stream[Stream.SIGN].choice((-1, 1), size=(n, N_DISCS, 3))
    contrast = stream[Stream.CONTRAST].integers(*CONTRAST, size=(n, N_DISCS, 3), endpoint=True)
    pixels = (n, 3, scenes.SIDE, scenes.SIDE)
    return Discs(
        pair=order.ravel()[:n],
        pattern=stream[Stream.PATTERN].integers(N_PATTERNS, size=n),
        radius=radius,
        place=_places(stream[Stream.PLACE], quarter, radius),
        phase=stream[Stream.PHASE].integers(2 * STRIPE, size=(n, N_DISCS, 2)),
        colour=sign * contrast,
        ground=scenes.GREY + scenes.texture(stream[Stream.TEXTURE], n),
        noise=stream[Stream.NOISE].integers(-noise, noise, size=pixels, endpoint=True),
        has_patch=stream[Stream.SHORTCUT].random(n) < shortcut,
    )


def _places(
    rng: np.random.Generator,
    quarter: Int[np.ndarray, "n disc=3"],
    radius: Int[np.ndarray, "n disc=3"],
) -> Int[np.ndarray, "n disc=3 axis=2"]:
    """Return centres, uniform within the quarters.

    A disc keeps clear of its quarter's edge, so that two discs have a gap between them, and below
    the patch in the top left quarter.
    """
    near = np.stack([radius + 1, radius + 1], axis=-1)
    far = np.repeat((CELL - 2 - radius)[..., None], 2, axis=-1)

    is_top_left = quarter == 0
    below_patch = scenes.PATCH + scenes.GAP + radius
    near[..., 0] = np.where(is_top_left, below_patch, near[..., 0])

    corner = CELL * np.stack([quarter // 2, quarter % 2], axis=-1)
    return corner + rng.integers(near, far, endpoint=True)


def cover(discs: Discs, disc: int) -> Bool[np.ndarray, "n height width"]:
    """Return the pixels of one disc of each image."""
    dy, dx = _offsets(discs, disc)
    radius = np.broadcast_to(discs.radius[:, disc, None, None], dx.shape)
    return glyphs.disc(dx, dy, radius)


def evidence(discs: Discs) -> Bool[np.ndarray, "n height width"]:
    """Return the pixels of the two discs with stripes, and their eight neighbours."""
    return scenes.dilate(cover(discs, 0) | cover(discs, 1))


def paint(discs: Discs, label: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n channel=3 _ _"]:
    """Return the images; `label` decides the colour of the patch, where there is one."""
    image = discs.ground
    for disc in range(N_DISCS):
        pixels = cover(discs, disc)[:, None]
        colour = discs.colour[:, disc, :, None, None]
        is_light = _is_light(discs, disc)[:, None]
        painted = scenes.GREY + np.where(is_light, colour, -colour)
        image = np.where(pixels, painted, image)

    image = scenes.stamp(image, discs.has_patch, label)
    return np.clip(image + discs.noise, 0, 255).astype(np.uint8)


def _is_light(discs: Discs, disc: int) -> Bool[np.ndarray, "n height width"]:
    """Return where the pattern of a disc is light."""
    dy, dx = _offsets(discs, disc)
    phase = discs.phase[:, disc, :, None, None]
    row_stripe = (dy + phase[:, 0]) // STRIPE % 2 == 0
    column_stripe = (dx + phase[:, 1]) // STRIPE % 2 == 0

    if disc == N_DISCS - 1:
        is_plain = discs.pattern[:, None, None] == 0
        return is_plain | (row_stripe ^ column_stripe)
    is_upright = (discs.pair >> disc & 1).astype(bool)
    return np.where(is_upright[:, None, None], column_stripe, row_stripe)


def _offsets(discs: Discs, disc: int) -> tuple[glyphs.Offset, glyphs.Offset]:
    """Return how far each pixel is from the centre of a disc, down and to the right."""
    row, column = np.indices((scenes.SIDE, scenes.SIDE))
    place = discs.place[:, disc, :, None, None]
    return row - place[:, 0], column - place[:, 1]

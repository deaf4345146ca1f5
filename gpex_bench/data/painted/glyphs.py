"""Shapes as inequalities in whole numbers.

A shape of radius r says which pixels it covers, by their offset (dx, dy) from its centre.
Offsets point right and down. Whole numbers keep the images the same on every machine. Every shape
lies within `r` pixels of its centre.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int

Offset = Int[np.ndarray, "*pixel"]
Cover = Bool[np.ndarray, "*pixel"]
Glyph = Callable[[Offset, Offset, Offset], Cover]


def _reach(dx: Offset, dy: Offset) -> Offset:
    """Return the distance along the longer axis."""
    return np.maximum(abs(dx), abs(dy))


def square(dx: Offset, dy: Offset, r: Offset) -> Cover:
    """Return a filled square of about the area of the disc."""
    return 5 * _reach(dx, dy) <= 4 * r


def disc(dx: Offset, dy: Offset, r: Offset) -> Cover:
    """Return a filled circle of radius r + 1/2, to the nearest pixel."""
    return dx**2 + dy**2 <= r * (r + 1)


def triangle(dx: Offset, dy: Offset, r: Offset) -> Cover:
    """Return a filled triangle that points up."""
    return (2 * abs(dx) <= dy + r) & (dy <= r)


def cross(dx: Offset, dy: Offset, r: Offset) -> Cover:
    """Return a plus sign, three pixels thick."""
    return (np.minimum(abs(dx), abs(dy)) <= 1) & (_reach(dx, dy) <= r)


def ring(dx: Offset, dy: Offset, r: Offset) -> Cover:
    """Return a circle line, two pixels thick."""
    return disc(dx, dy, r) & ~disc(dx, dy, r - 2)


def saltire(dx: Offset, dy: Offset, r: Offset) -> Cover:
    """Return a diagonal cross, three pixels thick."""
    return (abs(abs(dx) - abs(dy)) <= 1) & (6 * _reach(dx, dy) <= 5 * r)


def frame(dx: Offset, dy: Offset, r: Offset) -> Cover:
    """Return a square line, two pixels thick."""
    return square(dx, dy, r) & (5 * (_reach(dx, dy) + 2) > 4 * r)


def diamond(dx: Offset, dy: Offset, r: Offset) -> Cover:
    """Return a filled square that stands on a corner."""
    return abs(dx) + abs(dy) <= r


def bar(dx: Offset, dy: Offset, r: Offset) -> Cover:
    """Return a horizontal line, three pixels thick."""
    return (abs(dy) <= 1) & (abs(dx) <= r)


def pole(dx: Offset, dy: Offset, r: Offset) -> Cover:
    """Return a vertical line, three pixels thick."""
    return bar(dy, dx, r)


def elbow(dx: Offset, dy: Offset, r: Offset) -> Cover:
    """Return the letter L, three pixels thick."""
    return (_reach(dx, dy) <= r) & ((dx <= 2 - r) | (dy >= r - 2))


def tee(dx: Offset, dy: Offset, r: Offset) -> Cover:
    """Return the letter T, three pixels thick."""
    return (_reach(dx, dy) <= r) & ((abs(dx) <= 1) | (dy <= 2 - r))


PARTS: tuple[Glyph, ...] = (square, disc, triangle, cross, ring, saltire, frame, diamond)
DISTRACTORS: tuple[Glyph, ...] = (bar, pole, elbow, tee)
# of the parts
NAMES = ("square", "disc", "triangle", "cross", "ring", "saltire", "frame", "diamond")


def cover(
    kinds: tuple[Glyph, ...], kind: Int[np.ndarray, "n"], dx: Offset, dy: Offset, r: Offset
) -> Cover:
    """Return the pixels of each image i that the shape `kinds[kind[i]]` covers.

    Offsets and radii are [n, height, width].
    """
    covered = np.zeros(np.broadcast_shapes(dx.shape, dy.shape), dtype=bool)
    for number, glyph in enumerate(kinds):
        rows = kind == number
        covered[rows] = glyph(dx[rows], dy[rows], r[rows])
    return covered

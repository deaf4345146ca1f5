"""Regions that follow the planted truth: parts of the object, and parts of everything else."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gpex_bench.types import value


@value
class Scene:
    """Images that are cut into regions of an object and of the background."""

    # which region a pixel belongs to; a region may be empty
    index: Int[Tensor, "batch height width"]
    is_background: Bool[Tensor, "region"]


def cut(mask: Bool[Tensor, "batch channel height width"], sides: int) -> Scene:
    """Cut object and background of each image into sides x sides regions each.

    The object is cut at its centre, the background at the image's centre.

    Raises:
        ValueError: an image without an object, or one that is all object.
    """
    is_object = mask.any(1)
    size = is_object.flatten(1).sum(1)
    if bool((size == 0).any()) or bool((size == is_object[0].numel()).any()):
        raise ValueError(
            "mask must mark some pixels of every image, and not all; "
            "got an image without such a mask."
        )

    row_part = _part_of_axis(is_object, 1, sides)
    column_part = _part_of_axis(is_object, 2, sides)
    part = row_part * sides + column_part

    n_parts = sides**2
    return Scene(
        index=torch.where(is_object, part, part + n_parts),
        is_background=torch.arange(2 * n_parts) >= n_parts,
    )


def _part_of_axis(
    is_object: Bool[Tensor, "batch height width"], axis: int, sides: int
) -> Int[Tensor, "batch height width"]:
    """Return which part, from 0 to sides - 1, each pixel is in along an axis (1: rows)."""
    length = is_object.shape[axis]
    place = torch.arange(length)
    place = place[:, None] if axis == 1 else place[None, :]

    # rows (columns) that hold some of the object
    is_reached = is_object.any(3 - axis).float()
    first = is_reached.argmax(1)[:, None, None]
    extent = is_reached.sum(1)[:, None, None]

    of_object = (place - first) * sides / extent
    of_object = of_object.floor().clamp(0, sides - 1)
    of_rest = place * sides // length
    return torch.where(is_object, of_object, of_rest).long()

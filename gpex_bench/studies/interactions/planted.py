"""Regions that follow the planted truth: parts of the object, and parts of everything else."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gpex_bench.types import value


@value
class Scene:
    """Images that are cut into regions of an object and of the background."""

    index: Int[
        Tensor, "batch height width"
    ]  # which region a pixel belongs to; a region may be empty
    is_background: Bool[Tensor, "region"]


def scene(mask: Bool[Tensor, "batch channel height width"], sides: int) -> Scene:
    """Cut the object at its centre, and the rest at the image's centre, into sides x sides regions each.

    Raises:
        ValueError: an image without an object, or one that is all object.
    """
    is_object = mask.any(1)
    size = is_object.flatten(1).sum(1)
    if bool((size == 0).any()) or bool((size == is_object[0].numel()).any()):
        raise ValueError(
            "mask must mark some pixels of every image and not all, got an image without such a mask."
        )
    height, width = is_object.shape[1:]
    row, column = (
        torch.arange(height)[:, None].expand(height, width),
        torch.arange(width).expand(height, width),
    )
    parts = []
    for axis, place in ((1, row), (2, column)):
        reach = is_object.any(3 - axis).float()  # rows (columns) that hold some of the object
        first = reach.argmax(1)[:, None, None]
        extent = reach.sum(1)[:, None, None]
        own = ((place - first) * sides / extent).floor().clamp(0, sides - 1)
        rest = (place * sides // is_object.shape[axis]).expand_as(own)
        parts.append(torch.where(is_object, own, rest).long())
    inside = parts[0] * sides + parts[1]
    index = torch.where(is_object, inside, inside + sides**2)
    return Scene(index=index, is_background=torch.arange(2 * sides**2) >= sides**2)

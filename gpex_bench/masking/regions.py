"""Cuts an input into regions: segments of an image, units of a table (`masking.units`).

SLIC: achanta2012slic; quickshift: vedaldi2008quick; both through scikit-image.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench.masking.units import Groups, unit_of_column
from gpex_bench.types import value
from gpex_bench.types.demands import Refused

Segmentation = Literal["slic", "quickshift", "grid"]
FEWEST_REGIONS = 8  # fewer segments of an image cannot localise anything
COMPACTNESS = 1.0  # SLIC: space against colour
# quickshift: furthest step between pixels of a segment, in sides of a segment of the wished size
REACH = 0.75


@value
class Regions:
    """Which region each position of each sample belongs to."""

    index: Int[Tensor, "batch *position"]  # from 0, without gaps
    count: Int[Tensor, "batch"]  # regions of each sample; on the CPU

    @property
    def most(self) -> int:
        """The largest count: the width of padded masks."""
        return int(self.count.max())

    def paint(
        self, values: Float[Tensor, "batch region"], x: Float[Tensor, "batch *feature"]
    ) -> Tensor:
        """Return the value of its region for every entry of x."""
        per_entry = values.to(x).gather(1, self.index.flatten(1))
        painted = per_entry.view(self.index.shape)
        # All channels of a pixel are in one region.
        if x.ndim == 4:
            painted = painted[:, None]
        return painted.expand_as(x).clone()

    def spread(
        self, values: Float[Tensor, "batch region"], x: Float[Tensor, "batch *feature"]
    ) -> Tensor:
        """Return the value of each region shared evenly among its entries of x."""
        index = self.index.flatten(1)
        ones = torch.ones_like(index, dtype=values.dtype)
        n_positions = values.new_zeros(len(x), self.most)
        n_positions.scatter_add_(1, index, ones)

        n_channels = x.shape[1] if x.ndim == 4 else 1
        # Of padded regions, which have no entry, nothing is shared.
        n_entries = n_positions.clamp(min=1) * n_channels
        shares = values[:, : self.most] / n_entries
        return self.paint(shares, x)


def grid(x: Float[Tensor, "batch *feature"], side: int, groups: Groups = ()) -> Regions:
    """Return side x side regions of images, as equal as the pixels allow; the units of tables.

    Args:
        x: inputs.
        side: regions along each side of an image.
        groups: columns of a table that are one region (`Dataset.groups`).

    Raises:
        Refused: the image has fewer pixels along a side than regions.
    """
    if x.ndim == 2:
        index = unit_of_column(groups, x.shape[1]).to(x.device)
    elif not 1 <= side <= min(x.shape[2:]):
        raise Refused(
            f"grid must be between 1 and the image's shorter side, got {side} for images of "
            f"{x.shape[2]} x {x.shape[3]} pixels; set a smaller grid."
        )
    else:
        height, width = x.shape[2:]
        row = torch.arange(height, device=x.device) * side // height
        column = torch.arange(width, device=x.device) * side // width
        index = row[:, None] * side + column

    n = len(x)
    count = index.max().cpu() + 1
    return Regions(index=index.expand(n, *index.shape), count=count.expand(n))


def regions(
    x: Float[Tensor, "batch *feature"],
    how: Segmentation,
    n_segments: int,
    compactness: float = COMPACTNESS,
    *,
    groups: Groups = (),
) -> Regions:
    """Return the segments of images, about n_segments each, or the units of tables.

    quickshift finds fewer than n_segments where large areas look alike; grid takes the nearest
    square number.

    Args:
        x: inputs.
        how: images are cut.
        n_segments: aimed at.
        compactness: of SLIC.
        groups: columns of a table that are one region (`Dataset.groups`).

    Raises:
        Refused: an image has fewer than FEWEST_REGIONS segments.
    """
    if x.ndim == 2:
        return grid(x, 1, groups)
    if how == "grid":
        side = round(n_segments**0.5)
        _enough(min(side, *x.shape[2:]) ** 2, x, how, n_segments)
        return grid(x, side)

    images = x.detach().cpu().double().numpy()
    if how == "slic":
        maps = [slic(image, n_segments, compactness) for image in images]
    else:
        maps = [quickshift(image, n_segments) for image in images]
    for segments in maps:
        _enough(int(segments.max()) + 1, x, how, n_segments)

    index = torch.from_numpy(np.stack(maps)).to(x.device)
    count = index.flatten(1).amax(1).cpu() + 1
    return Regions(index=index, count=count)


def _enough(found: int, x: Tensor, how: str, n_segments: int) -> None:
    if found < FEWEST_REGIONS:
        raise Refused(
            f"An image needs at least {FEWEST_REGIONS} segments and {how} found {found} "
            f"in {x.shape[2]} x {x.shape[3]} pixels; "
            f"raise n_segments ({n_segments}) or choose another segmentation."
        )


def slic(image: np.ndarray, n_segments: int, compactness: float = COMPACTNESS) -> np.ndarray:
    """Return SLIC's segments of an image [channel, height, width], numbered from 0 without gaps."""
    found = _slic(image.tobytes(), image.dtype.str, image.shape, n_segments, compactness)
    return found.copy()


# The networks of all training seeds, and every explanation of a robustness score, have the same
# images.
@lru_cache(maxsize=2**11)
def _slic(
    content: bytes, kind: str, shape: tuple[int, ...], n_segments: int, compactness: float
) -> np.ndarray:
    """Return SLIC's segments of an image of this content."""
    from skimage.segmentation import slic as segment

    image = np.frombuffer(content, kind).reshape(shape)
    grey = len(image) == 1
    found = segment(
        image[0] if grey else image.transpose(1, 2, 0),
        n_segments=n_segments,
        compactness=compactness,
        convert2lab=False,
        channel_axis=None if grey else -1,
    )
    return _numbered(found)


def quickshift(image: np.ndarray, n_segments: int) -> np.ndarray:
    """Return quickshift's segments of an image [channel, height, width], numbered from 0.

    Its settings follow from n_segments: a step of at most REACH sides of such a segment, and a
    kernel of a quarter of that but at least one pixel (with those of the lime package, an image of
    64 pixels has about five segments).
    """
    from skimage.segmentation import quickshift as segment

    side = (image[0].size / n_segments) ** 0.5
    reach = REACH * side

    # It wants at least three channels, the last axis. A grey one is repeated; two are completed by
    # zeros, which leave all distances as they are.
    n_channels, height, width = image.shape
    channels = np.broadcast_to(image, (3, height, width)) if n_channels == 1 else image
    if n_channels == 2:
        channels = np.concatenate([image, np.zeros_like(image[:1])])
    colour = np.ascontiguousarray(channels.transpose(1, 2, 0))
    found = segment(
        colour, ratio=0.5, kernel_size=max(1, reach / 4), max_dist=reach, convert2lab=False
    )
    return _numbered(found)


def _numbered(found: np.ndarray) -> np.ndarray:
    return np.unique(found, return_inverse=True)[1].reshape(found.shape)

"""Tiles of one stained tissue slide: brown or not, and which pixels say so.

The slide is scikit-image's `ihc.png`, 512 x 512 pixels: colonic tissue in which an antibody against
FHL2 is coloured brown (DAB) and nuclei blue (haematoxylin). It is cut into 256 tiles of 32 x 32
pixels that do not overlap.

Colour deconvolution (ruifrok2001quantification, `skimage.color.rgb2hed`) gives the amount of brown
of each pixel, and Otsu's threshold on the slide says which pixels are brown. The class of a tile is
what most of its pixels are; the mask holds the pixels that are of the tile's class. So the evidence
is known by construction, as in `shapes`, on a real image.

Neighbouring tiles are not independent. The test split is of one quarter of the slide, and training
tiles that touch the quarter are left out. Test tiles of nearly one colour are left out too: in them
no pixel is better evidence than another.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from PIL import Image
from torch import Tensor

from gpex_bench.data.files import splits
from gpex_bench.types import Dataset, Need, Source, Truth, demands, settings
from gpex_bench.types.packages import packaged_file

RAW = "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef"  # sha256 of the file
TILE = 32  # pixels
N_SIDE = 16  # tiles along a side of the slide
BROWN = 0.0622  # Otsu's threshold of the amount of brown on the slide
QUARTERS = ("upper left", "upper right", "lower left", "lower right")


@settings
class Histology(Source):
    """Brown or unstained tiles of one slide, 32 x 32 RGB in [0, 1]; an absent pixel is white.

    White is the light of the microscope where there is no tissue.
    """

    offers = frozenset({Need.IMAGE, Need.TRUTH})
    remarks = (
        "All tiles are of one slide, so no number here holds for other slides, tissues or "
        "laboratories; neighbouring tiles are alike, and intervals over tiles are too narrow.",
    )

    test: str = "lower left"  # the quarter of the slide that test tiles are of
    mixed: float = 0.1  # least share of pixels of the rarer colour in a test tile

    def __post_init__(self) -> None:
        demands.one_of(self, test=QUARTERS)
        if not 0 <= self.mixed < 0.5:
            raise ValueError(f"mixed must be in [0, 0.5), got {self.mixed}.")

    def load(self) -> Dataset:
        """Return the tiles; ids count them row by row from the upper left.

        Raises:
            ValueError: the installed file is missing or another one, or `mixed` leaves no tile.
        """
        with Image.open(packaged_file("skimage", "data/ihc.png", RAW)) as file:
            slide = np.array(file.convert("RGB"))
        x = torch.from_numpy(tiles(slide)).float().div(255)
        is_brown = torch.from_numpy(tiles(_brown(slide)[:, :, None]))

        share = is_brown.flatten(1).double().mean(1)
        y = (share > 0.5).long()
        mask = (is_brown == y.bool()[:, None, None, None]).expand_as(x)

        train, quarter = _regions(self.test)
        rarer = torch.minimum(share, 1 - share)
        test = quarter[rarer[quarter] >= self.mixed]
        if not len(test):
            raise ValueError(f"mixed must leave a test tile, got {self.mixed}.")
        return Dataset(
            name="histology",
            train=splits.take(x, y, train),
            test=splits.take(x, y, test),
            classes=("unstained", "brown"),
            features=(),
            baseline=torch.ones(x.shape[1:]),
            truth=Truth(mask=mask[test].clone(), train_group=y[train], test_group=y[test]),
        )


def tiles(
    slide: Shaped[np.ndarray, "512 512 channel"],
) -> Shaped[np.ndarray, "256 channel 32 32"]:
    """Return the tiles of a slide, row by row."""
    n_channels = slide.shape[2]
    grid = slide.reshape(N_SIDE, TILE, N_SIDE, TILE, n_channels)
    by_tile = grid.transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(by_tile.reshape(N_SIDE**2, n_channels, TILE, TILE))


def _brown(slide: np.ndarray) -> Bool[np.ndarray, "height width"]:
    """Return which pixels of a slide are brown."""
    from skimage.color import rgb2hed

    amount: Float[np.ndarray, "height width"] = rgb2hed(slide)[:, :, 2]
    return amount > BROWN


def _regions(quarter: str) -> tuple[Int[Tensor, "train"], Int[Tensor, "tile"]]:
    """Return the tiles that do not touch a quarter of the slide, and those of the quarter."""
    vertical, horizontal = quarter.split()
    half = N_SIDE // 2
    first_row = half if vertical == "lower" else 0
    first_column = half if horizontal == "right" else 0

    # How many tiles away from the quarter a tile is, down or across.
    number = torch.arange(N_SIDE**2)
    down = _distance(number // N_SIDE, first_row, half)
    across = _distance(number % N_SIDE, first_column, half)
    distance = torch.maximum(down, across)
    return number[distance > 1], number[distance == 0]


def _distance(place: Int[Tensor, "tile"], first: int, n: int) -> Int[Tensor, "tile"]:
    """Return how far places are from the n places that begin with the first; 0 inside."""
    before = first - place
    after = place - (first + n - 1)
    return torch.maximum(before, after).clamp(min=0)

"""The 200 small grey images that ship with scikit-image: 100 faces, and 100 patches without one.

Source: huang2007labeled (Labeled Faces in the Wild), of which scikit-image holds 100 faces and 100
patches of backgrounds, 25 x 25 pixels (`lfw_subset`). They are scaled to the side that a network
takes and their grey is put into three channels, so that networks for colour images can be asked.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from gpex_bench.data.files import splits
from gpex_bench.types import Dataset, Need, Source, demands, settings
from gpex_bench.types.packages import packaged_file

RAW = "9560ec2f5edfac01973f63a8a99d00053fecd11e21877e18038fbe500f8e872c"  # sha256 of the file
N_FACES = 100  # the first rows
GREY = 127.5 / 255  # of an absent pixel: 0 for networks that see (x - 127.5) / 128


@settings
class Faces(Source):
    """Face or no face, 100 and 100, in three equal channels in [0, 1]; an absent pixel is grey."""

    offers = frozenset({Need.IMAGE})
    remarks = (
        "All images are small grey crops of one collection; background patches are easy to tell "
        "from faces.",
    )

    side: int = 24  # pixels, to which the 25 are scaled
    n_test: int = 100
    seed: int = 0  # of the split

    def __post_init__(self) -> None:
        demands.at_least(self, 8, "side")
        splits.check_seed(self.seed)

    def load(self) -> Dataset:
        """Return the images; ids are rows in scikit-image's order.

        Raises:
            ValueError: the installed file is missing or another one, or `n_test` is out of range.
        """
        raw = np.load(packaged_file("skimage", "data/lfw_subset.npy", RAW))
        x = _scaled(torch.from_numpy(raw)[:, None], self.side)
        y = (torch.arange(len(x)) < N_FACES).long()

        train, test = splits.stratified(y, self.n_test, self.seed)
        return Dataset(
            name="faces",
            train=splits.take(x, y, train),
            test=splits.take(x, y, test),
            classes=("no face", "face"),
            features=(),
            baseline=torch.full(x.shape[1:], GREY),
        )


def _scaled(grey: Float[Tensor, "n 1 height width"], side: int) -> Float[Tensor, "n 3 side side"]:
    """Return images of another size in whole grey levels, the same in three channels.

    Rounded, so that the result has the same bits on every machine.
    """
    resized = interpolate(grey, size=(side, side), mode="bilinear", antialias=True)
    levels = resized.mul(255).round().clamp(0, 255)
    return levels.float().div(255).repeat(1, 3, 1, 1)

"""MNIST: 70,000 handwritten digits, 28 x 28 grey levels (lecun1998gradient); published split.

The files are those that torchvision's MNIST keeps below its root: MNIST/raw/train-images-idx3-ubyte
and three others, compressed or not. Missing ones are downloaded by torchvision.
"""

from __future__ import annotations

from pathlib import Path

import torch

from gpex_bench.data.files import archives, splits
from gpex_bench.types import Dataset, Need, Source, settings

# sha256 of pixels and labels
RAW = "11de40ec28a7c150195b86fd3a818037e73f1e8d04ab1621d02836dbdf8a2d54"
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@settings
class Mnist(Source):
    """Handwritten digits, 60,000 and 10,000; x in [0, 1], an absent pixel is black."""

    offers = frozenset({Need.IMAGE})

    n_train: int | None = None  # random training samples; null: all
    n_test: int | None = None
    # of each training image: itself and copies shifted by up to 3 pixels, to have more training
    # rows
    copies: int = 1
    seed: int = 0  # of the choice and of the order
    # folder that holds MNIST/raw; "": the one that GPEX_BENCH_DATA names, else ./downloads
    root: str = ""
    download: bool = True  # whether missing files may be fetched

    def __post_init__(self) -> None:
        archives.check(self._choice)

    def load(self) -> Dataset:
        """Return the digits; ids count the training rows, then test rows, then shifted copies.

        Raises:
            ValueError: the files are missing and cannot be fetched, or are damaged, or there are
                too few samples.
        """
        place = archives.find(
            "MNIST", self.root, ["MNIST/raw"], FILES, _fetch if self.download else None
        )
        raw = archives.read_pairs(place, FILES)
        splits.check_digest(f"MNIST in {place}", raw.digest, RAW)
        return archives.dataset("mnist", raw, "0123456789", torch.zeros(1, 28, 28), self._choice)

    @property
    def _choice(self) -> archives.Choice:
        return archives.Choice(self.n_train, self.n_test, self.copies, self.seed)


def _fetch(root: Path) -> None:
    from torchvision.datasets import MNIST

    MNIST(str(root), download=True)

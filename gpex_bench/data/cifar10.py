"""CIFAR-10: 60,000 colour photographs of ten kinds of things, 32 x 32 (krizhevsky2009learning).

Two sources. "original": the files that torchvision's CIFAR10 keeps below its root,
cifar-10-batches-py/, which it also downloads. "jpeg75": copies compressed as JPEG with quality 75,
in cifar10-jpeg/{train-0,train-1,test}.parquet with the columns label and jpeg. They are other
images: their dataset is called cifar10_jpeg75, and so should its run id be.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from gpex_bench.data.files import archives, splits
from gpex_bench.types import Dataset, Need, Source, settings

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PARTS = ("train-0.parquet", "train-1.parquet", "test.parquet")
BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta")
# sha256 of the labels and of the compressed images; decoded ones may differ by a grey level between
# decoders
JPEG = "3dd6fc7269584128afcf0543ff84bc32c5ce013b2289b974e013e31a2080c84a"


@settings
class Cifar10(Source):
    """Photographs, 50,000 and 10,000; x in [0, 1], an absent pixel has the mean colour."""

    offers = frozenset({Need.IMAGE})

    images: Literal["original", "jpeg75"] = "original"
    n_train: int | None = None  # random training samples; null: all
    n_test: int | None = None
    seed: int = 0  # of the choice and of the order
    # folder that holds cifar-10-batches-py or cifar10-jpeg; "": GPEX_BENCH_DATA, else ./downloads
    root: str = ""
    download: bool = True  # whether missing files of the original may be fetched

    def __post_init__(self) -> None:
        archives.check(self._choice)

    def load(self) -> Dataset:
        """Return the photographs; ids count the 50,000 training rows, then the test rows.

        Raises:
            ValueError: the files are missing and cannot be fetched, or are damaged, or there are
                too few samples.
        """
        raw = self._original() if self.images == "original" else self._jpeg()
        images, _ = raw.train
        mean = torch.from_numpy(images.mean((0, 2, 3)) / 255).float()
        baseline = mean[:, None, None].expand(3, 32, 32).clone()
        name = "cifar10" if self.images == "original" else "cifar10_jpeg75"
        return archives.dataset(name, raw, CLASSES, baseline, self._choice)

    @property
    def _choice(self) -> archives.Choice:
        return archives.Choice(self.n_train, self.n_test, 1, self.seed)

    def _original(self) -> archives.Raw:
        """Return the publisher's images; torchvision checks their digests."""
        from torchvision.datasets import CIFAR10

        fetch = _fetch if self.download else None
        place = archives.find("CIFAR-10", self.root, ["cifar-10-batches-py"], BATCHES, fetch)
        try:
            train = CIFAR10(str(place.parent), train=True)
            test = CIFAR10(str(place.parent), train=False)
        except RuntimeError as error:
            raise ValueError(
                f"{place} is damaged: {error}. Delete it, so that it is fetched again."
            ) from error
        return archives.Raw(
            train=(train.data.transpose(0, 3, 1, 2), np.array(train.targets)),
            test=(test.data.transpose(0, 3, 1, 2), np.array(test.targets)),
        )

    def _jpeg(self) -> archives.Raw:
        """Return the compressed copies, decoded."""
        place = archives.find("CIFAR-10 (JPEG)", self.root, ["cifar10-jpeg"], PARTS, None)
        columns = [_columns(place / part) for part in PARTS]

        arrays: list[NDArray] = []
        for labels, files in columns:
            arrays += [labels, np.frombuffer(b"".join(files), np.uint8)]
        splits.check_digest(f"CIFAR-10 (JPEG) in {place}", splits.digest(arrays), JPEG)

        first, second, test = [(_decode_all(files), labels) for labels, files in columns]
        train = (np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]]))
        return archives.Raw(train, test)


def _columns(path: Path) -> tuple[NDArray[np.int64], list[bytes]]:
    """Return the labels and the compressed images of a file."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=["label", "jpeg"])
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise ValueError(f"{path} is damaged: {error}. Put a whole copy there.") from error
    return table["label"].to_numpy().astype(np.int64), table["jpeg"].to_pylist()


def _decode_all(files: list[bytes]) -> NDArray[np.uint8]:
    """Return images as [n, channel, height, width]."""
    from PIL import Image

    images = []
    for file in files:
        image = Image.open(io.BytesIO(file)).convert("RGB")
        images.append(np.asarray(image).transpose(2, 0, 1))
    return np.stack(images)


def _fetch(root: Path) -> None:
    from torchvision.datasets import CIFAR10

    CIFAR10(str(root), download=True)

"""Image sets that are downloaded: how their files are found, read and made a Dataset.

Their publishers fix the train and the test split. Within each the order is random but fixed, so
that the first rows are a random choice; a sample's id is its row in the publisher's order, the
train split first.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from gpex_bench.data.files import splits
from gpex_bench.types import Dataset, Split

VARIABLE = "GPEX_BENCH_DATA"  # names the folder that holds the image sets, where a config does not
FALLBACK = "downloads"  # in the working folder
REACH = 3  # pixels: the farthest shift of a copy
IDX = {
    "images": 0x803,
    "labels": 0x801,
}  # magic numbers of the format: bytes in three dimensions, and in one


@dataclass(frozen=True)
class Raw:
    """A publisher's split as it is on disk."""

    train: tuple[UInt8[np.ndarray, "n channel height width"], NDArray[np.int64]]
    test: tuple[UInt8[np.ndarray, "m channel height width"], NDArray[np.int64]]

    @property
    def digest(self) -> str:
        """Return the sha256 of all images and labels."""
        return splits.digest((*self.train, *self.test))


@dataclass(frozen=True)
class Choice:
    """Which of the samples are used."""

    n_train: int | None  # None: all
    n_test: int | None
    copies: int  # of each training image: itself, and shifted ones
    seed: int  # of the order


def folder(root: str) -> Path:
    """Return the folder of the image sets: `root`, else the environment's, else ./downloads."""
    return Path(root or os.environ.get(VARIABLE) or FALLBACK).expanduser()


def find(
    name: str,
    root: str,
    places: Sequence[str],
    files: Sequence[str],
    fetch: Callable[[Path], object] | None,
) -> Path:
    """Return the folder with all the files (compressed or not), after fetching them if needed.

    Args:
        name: of the dataset, for messages.
        root: the setting of the dataset.
        places: folders below the root where the files may lie, the usual one first.
        files: their names, without ".gz".
        fetch: downloads them into the root; None where that is not allowed.

    Raises:
        ValueError: they are not there and could not be fetched; says what to put where.
    """
    top = folder(root)
    found = _complete(top, places, files)
    if found is not None:
        return found

    failure = "download is false"
    if fetch is not None:
        try:
            fetch(top)
            failure = "the download left other files"
        except (OSError, RuntimeError) as error:  # URLError is an OSError
            reason = " ".join(str(error).split())[:200]
            failure = f"it cannot be downloaded ({type(error).__name__}: {reason})"
        found = _complete(top, places, files)

    if found is None:
        raise ValueError(
            f"{name} is not in {top / places[0]}, and {failure}. Put {', '.join(files)} there (or "
            f"their .gz), or let `root` or the environment variable {VARIABLE} name the folder "
            f"that holds {places[0]}."
        )
    return found


def _complete(top: Path, places: Sequence[str], files: Sequence[str]) -> Path | None:
    """Return the first folder with all the files, or None."""
    for place in places:
        if all(_file(top / place, name) is not None for name in files):
            return top / place
    return None


def _file(place: Path, name: str) -> Path | None:
    """Return the file or its compressed form, or None."""
    for path in (place / name, place / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def read_idx(place: Path, name: str, kind: str) -> NDArray[np.uint8]:
    """Return the bytes of a file in MNIST's format: "images" [n, height, width] or "labels" [n].

    Raises:
        ValueError: the file is cut short, or of another format.
    """
    path = _file(place, name) or place / name
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        header = np.frombuffer(content, ">i4", count=4 if kind == "images" else 2)
        magic = header[0]
        if magic != IDX[kind]:
            raise ValueError(f"its first four bytes are {magic:#x}, those of {kind} {IDX[kind]:#x}")
        numbers = np.frombuffer(content, np.uint8, offset=header.nbytes)
        return numbers.reshape(header[1:])
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged: {error}. Delete it, so that it is fetched again."
        ) from error


def read_pairs(place: Path, files: Sequence[str]) -> Raw:
    """Return images [n, 1, height, width] and labels of both splits.

    Args:
        place: the folder.
        files: the names of training images, training labels, test images and test labels.

    Raises:
        ValueError: a file is damaged, or images and labels are not equally many.
    """
    train_images, train_labels, test_images, test_labels = files
    train = _read_pair(place, train_images, train_labels)
    test = _read_pair(place, test_images, test_labels)
    return Raw(train, test)


def _read_pair(place: Path, images: str, labels: str) -> tuple[NDArray, NDArray]:
    """Return the images [n, 1, height, width] and labels of a split."""
    x = read_idx(place, images, "images")
    y = read_idx(place, labels, "labels")
    if len(x) != len(y):
        raise ValueError(
            f"{place} is damaged: {len(x)} images, {len(y)} labels. Delete the folder."
        )
    return x[:, None], y.astype(np.int64)


def check(choice: Choice) -> None:
    """Raise ValueError unless a choice can be made."""
    for name, n in (("n_train", choice.n_train), ("n_test", choice.n_test)):
        if n is not None and n < 1:
            raise ValueError(f"{name} must be at least 1, or null for all, got {n}.")
    most = (2 * REACH + 1) ** 2
    if not 1 <= choice.copies <= most:
        raise ValueError(
            f"copies must be in [1, {most}], as many as there are shifts, got {choice.copies}."
        )
    splits.check_seed(choice.seed)


def dataset(
    name: str, raw: Raw, classes: Sequence[str], baseline: Tensor, choice: Choice
) -> Dataset:
    """Return the chosen samples, x in [0, 1].

    Raises:
        ValueError: more samples are wanted than there are.
    """
    n_train = len(raw.train[1])
    n_test = len(raw.test[1])

    rows = _choose("n_train", choice.n_train, n_train, (choice.seed, 0))
    train = _take(raw.train, rows, 0)
    copies = []
    for number, shift in enumerate(shifts(choice.copies)):
        copies.append(_shift(train, shift, baseline, number * (n_train + n_test)))

    test_rows = _choose("n_test", choice.n_test, n_test, (choice.seed, 1))
    return Dataset(
        name=name,
        train=Split(
            x=torch.cat([copy.x for copy in copies]),
            y=torch.cat([copy.y for copy in copies]),
            sample=torch.cat([copy.sample for copy in copies]),
        ),
        test=_take(raw.test, test_rows, n_train),
        classes=tuple(classes),
        features=(),
        baseline=baseline,
    )


def _choose(name: str, wanted: int | None, n: int, seed: tuple[int, int]) -> NDArray[np.int64]:
    """Return the wanted number of rows in random order."""
    if wanted is not None and wanted > n:
        raise ValueError(f"{name} must be at most {n}, the samples that there are, got {wanted}.")
    return np.random.default_rng(seed).permutation(n)[:wanted]


def _take(pair: tuple[NDArray, NDArray], rows: NDArray[np.int64], first: int) -> Split:
    """Return some rows of a split; `first` is the id of its row 0."""
    images, labels = pair
    x = torch.from_numpy(images[rows])
    return Split(
        x=x.float().div_(255),
        y=torch.from_numpy(labels[rows]),
        sample=torch.from_numpy(rows) + first,
    )


def shifts(n: int) -> list[tuple[int, int]]:
    """Return n shifts (down, right) in pixels: none, then the nearest ones."""

    def distance(shift: tuple[int, int]) -> tuple[int, tuple[int, int]]:
        down, right = shift
        return down**2 + right**2, shift

    reach = range(-REACH, REACH + 1)
    return sorted(product(reach, reach), key=distance)[:n]


def _shift(split: Split, shift: tuple[int, int], baseline: Tensor, first: int) -> Split:
    """Return a split with all images shifted and `first` added to the ids.

    New pixels are the baseline's.
    """
    if shift == (0, 0):
        return split

    down, right = shift
    height, width = baseline.shape[-2:]
    to_rows, from_rows = _overlap(height, down)
    to_columns, from_columns = _overlap(width, right)
    x = baseline.expand_as(split.x).clone()
    x[..., to_rows, to_columns] = split.x[..., from_rows, from_columns]
    return Split(x=x, y=split.y, sample=split.sample + first)


def _overlap(side: int, shift: int) -> tuple[slice, slice]:
    """Return where the pixels of a side go that stay inside, and where they come from."""
    destination = slice(max(shift, 0), side + min(shift, 0))
    source = slice(max(-shift, 0), side - max(shift, 0))
    return destination, source

"""Image sets that are downloaded: where their files are looked for, how they are read, and how they become a Dataset.

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
    """Return the folder that holds the image sets: `root`, else what the environment names, else ./downloads."""
    return Path(root or os.environ.get(VARIABLE) or FALLBACK).expanduser()


def find(
    name: str,
    root: str,
    places: Sequence[str],
    files: Sequence[str],
    fetch: Callable[[Path], object] | None,
) -> Path:
    """Return the folder in which all the files lie (compressed with gzip or not), after fetching them if needed.

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

    def found() -> Path | None:
        rows = [top / place for place in places]
        return next(
            (row for row in rows if all(_file(row, file) is not None for file in files)), None
        )

    failure = "download is false"
    if found() is None and fetch is not None:
        try:
            fetch(top)
            failure = "the download left other files"
        except (OSError, RuntimeError) as error:  # URLError is an OSError
            failure = f"it cannot be downloaded ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    here = found()
    if here is None:
        raise ValueError(
            f"{name} is not in {top / places[0]}, and {failure}. Put {', '.join(files)} there (or their .gz), or let "
            f"`root` or the environment variable {VARIABLE} name the folder that holds {places[0]}."
        )
    return here


def _file(place: Path, name: str) -> Path | None:
    """Return the file or its compressed form, or None."""
    return next((path for path in (place / name, place / f"{name}.gz") if path.is_file()), None)


def read_idx(place: Path, name: str, kind: str) -> NDArray[np.uint8]:
    """Return the bytes of a file in the format of MNIST: "images" [n, height, width] or "labels" [n].

    Raises:
        ValueError: the file is cut short, or of another format.
    """
    path = _file(place, name) or place / name
    try:
        content = (gzip.decompress if path.suffix == ".gz" else bytes)(path.read_bytes())
        header = np.frombuffer(content, ">i4", count=4 if kind == "images" else 2)
        if header[0] != IDX[kind]:
            raise ValueError(
                f"its first four bytes are {header[0]:#x}, those of {kind} {IDX[kind]:#x}"
            )
        return np.frombuffer(content, np.uint8, offset=header.nbytes).reshape(header[1:])
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
    arrays = [
        read_idx(place, name, kind)
        for name, kind in zip(files, ["images", "labels"] * 2, strict=True)
    ]
    for images, labels in (arrays[:2], arrays[2:]):
        if len(images) != len(labels):
            raise ValueError(
                f"{place} is damaged: {len(images)} images, {len(labels)} labels. Delete the folder."
            )
    x, y, test_x, test_y = arrays
    return Raw((x[:, None], y.astype(np.int64)), (test_x[:, None], test_y.astype(np.int64)))


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
    first, n = len(raw.train[1]), len(raw.train[1]) + len(raw.test[1])
    train = _taken(raw.train, _rows("n_train", choice.n_train, first, (choice.seed, 0)), 0)
    copies = [
        _shifted(train, shift, baseline, n * number)
        for number, shift in enumerate(shifts(choice.copies))
    ]
    return Dataset(
        name=name,
        train=Split(
            **{
                key: torch.cat([getattr(copy, key) for copy in copies])
                for key in ("x", "y", "sample")
            }
        ),
        test=_taken(raw.test, _rows("n_test", choice.n_test, n - first, (choice.seed, 1)), first),
        classes=tuple(classes),
        features=(),
        baseline=baseline,
    )


def _rows(name: str, wanted: int | None, n: int, seed: tuple[int, int]) -> NDArray[np.int64]:
    """Return the wanted number of rows in random order."""
    if wanted is not None and wanted > n:
        raise ValueError(f"{name} must be at most {n}, the samples that there are, got {wanted}.")
    return np.random.default_rng(seed).permutation(n)[:wanted]


def _taken(pair: tuple[NDArray, NDArray], rows: NDArray[np.int64], first: int) -> Split:
    """Return some rows of a split; `first` is the id of its row 0."""
    x, y = (torch.from_numpy(array[rows]) for array in pair)
    return Split(x=x.float().div_(255), y=y, sample=torch.from_numpy(rows) + first)


def shifts(n: int) -> list[tuple[int, int]]:
    """Return n shifts (down, right) in pixels: none, then the nearest ones."""
    reach = range(-REACH, REACH + 1)
    return sorted(product(reach, reach), key=lambda shift: (shift[0] ** 2 + shift[1] ** 2, shift))[
        :n
    ]


def _shifted(split: Split, shift: tuple[int, int], baseline: Tensor, first: int) -> Split:
    """Return a split with all images shifted and `first` added to the ids; what comes in is the baseline."""
    if shift == (0, 0):
        return split
    down, right = shift
    height, width = baseline.shape[-2:]
    x = baseline.expand_as(split.x).clone()
    x[..., max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = split.x[
        ..., max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return Split(x=x, y=split.y, sample=split.sample + first)

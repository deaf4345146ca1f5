"""Inputs from outside a dataset, in the form that its rows have."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.data.csv import TABLES, Csv
from gpex_bench.data.files import columns
from gpex_bench.data.files.images import Fit, Form, decoded
from gpex_bench.types import Dataset, Source, Split

SLACK = 0.05  # outside of 0 ... 1, by which images may be sharpened or compressed
LEVELS = 255
ROUNDING = 1e-5  # of standardised columns whose rows were added in another order
N_LISTED = 5  # columns in a message


def images(files: list[Path], data: Dataset, source: Source) -> Float[Tensor, "n *feature"]:
    """Return images in the form of those of a dataset.

    Args:
        files: pictures, or .npy files with an input as the network takes it.
        data: whose images lie in about 0 ... 1, where pictures are given.
        source: of the dataset; its setting `fit` says how a picture becomes a square.

    Raises:
        ValueError: the dataset has tables or another scale, or a file does not fit.
    """
    if not data.is_image:
        raise ValueError("--image needs a dataset of images, and this one has tables; give --rows.")
    return torch.stack([_image(file, data, source) for file in files])


def _image(file: Path, data: Dataset, source: Source) -> Float[Tensor, "*feature"]:
    """Return one image."""
    shape = tuple(data.baseline.shape)
    if file.suffix == ".npy":
        return _array(file, shape)

    low, high = float(data.train.x.min()), float(data.train.x.max())
    if low < -SLACK or high > 1 + SLACK or shape[0] not in (1, 3):
        raise ValueError(
            f"--image: {file} can be read for grey or RGB images in 0 ... 1, and those of the "
            f"dataset are {shape[0]} channels in {low:.3g} ... {high:.3g}; give the input as .npy."
        )
    n_channels, height, width = shape
    is_square = height == width
    fit: Fit = getattr(source, "fit", "crop")
    form = Form(height if is_square else None, fit, "grey" if n_channels == 1 else "rgb")
    pixels = decoded(file, str(file), form, {})
    if pixels.shape != shape:
        raise ValueError(
            f"--image: {file} must have {height} x {width} pixels, as the images of the dataset, "
            f"got {pixels.shape[1]} x {pixels.shape[2]}."
        )
    return torch.from_numpy(pixels.astype(np.float32) / LEVELS)


def _array(file: Path, shape: tuple[int, ...]) -> Float[Tensor, "*feature"]:
    """Return an input that is stored as the network takes it."""
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as an array ({error}).") from error
    if array.shape != shape or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{file} must be numbers of the shape of an input, {shape}, got {array.dtype} of shape "
            f"{array.shape}."
        )
    return torch.from_numpy(array.astype(np.float32))


def table(file: Path, data: Dataset, source: Source) -> Float[Tensor, "n column"]:
    """Return rows of a table in the form of those of a dataset.

    Raises:
        ValueError: the dataset has images, or the file lacks a column or has text in one.
    """
    if data.is_image:
        raise ValueError("--rows needs a dataset of tables, and this one has images; give --image.")
    if isinstance(source, Csv):
        return _encoded(file, data, source)

    frame = columns.read(str(file), ",")
    missing = [name for name in data.features if name not in frame.columns]
    if missing:
        raise ValueError(
            f"--rows: {file} must have the columns of the dataset, and lacks "
            f"{', '.join(missing[:N_LISTED])}."
        )
    numbers = frame[list(data.features)].apply(pd.to_numeric, errors="coerce")
    empty = numbers.columns[numbers.isna().any()]
    if len(empty):
        raise ValueError(f"--rows: {file} has text or gaps in the column {empty[0]!r}; fill them.")
    return torch.from_numpy(numbers.to_numpy(np.float32))


def _encoded(file: Path, data: Dataset, source: Csv) -> Float[Tensor, "n column"]:
    """Return rows of a table of numbers and categories as its own rows are encoded.

    They are read as test rows beside the training rows, which decide the encoding.

    Raises:
        ValueError: a column is missing, an entry does not fit, or the table has changed.
    """
    own = columns.read(source.file, source.separator)
    new = columns.read(str(file), source.separator)
    for name in [source.target] if isinstance(source.target, str) else source.target:
        if name not in new:
            new[name] = own[name].iloc[0]  # nobody looks at it
    missing = [str(name) for name in own if name not in new]
    if missing:
        raise ValueError(
            f"--rows: {file} must have the columns of {source.file}, and lacks "
            f"{', '.join(missing[:N_LISTED])}."
        )

    with tempfile.TemporaryDirectory() as folder:
        read, first = _read_beside(Path(folder), own, new[own.columns], source, data)
    if not _same_rows(read.train, data.train):
        raise ValueError(f"{source.file} has changed since the network was trained; run again.")

    row_of = {sample: row for row, sample in enumerate(read.test.sample.tolist())}
    left_out = [row for row in range(len(new)) if first + row not in row_of]
    if left_out:
        raise ValueError(f"--rows: row {left_out[0]} of {file} lacks an entry; fill it.")
    return torch.stack([read.test.x[row_of[first + row]] for row in range(len(new))])


def _same_rows(one: Split, other: Split) -> bool:
    """Return whether two splits have the same rows, in whatever order."""
    if len(one.x) != len(other.x):
        return False
    first, second = one.x[one.sample.argsort()], other.x[other.sample.argsort()]
    return first.shape == second.shape and torch.allclose(first, second, atol=ROUNDING)


def _read_beside(
    folder: Path, own: pd.DataFrame, new: pd.DataFrame, source: Csv, data: Dataset
) -> tuple[Dataset, int]:
    """Return a table whose test rows have new ones among them, and the sample of the first."""
    table = folder / "table.csv"
    if isinstance(source.test, str) and source.test.endswith(TABLES):
        # all rows of the table itself are training rows
        new.to_csv(table, index=False, sep=source.separator)
        return replace(source, test=str(table)).load(), 0

    every = pd.concat([own, new])
    every.to_csv(table, index=False, sep=source.separator)
    rows = [*data.test.sample.tolist(), *range(len(own), len(every))]
    listed = folder / "rows.txt"
    listed.write_text("\n".join(map(str, rows)))
    return replace(source, file=str(table), test=str(listed)).load(), len(own)

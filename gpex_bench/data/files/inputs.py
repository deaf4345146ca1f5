"""Inputs as people have them: numpy, torch or a frame of any type of number → float32.

What is converted: floats of any width; whole numbers and booleans of tables; images of bytes, which
are divided by 255. What a guess could get wrong is refused with what to do: the order of the axes,
whole numbers that are not bytes, a range that is not that of images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

BYTE = 255
LARGEST = 20  # images with larger entries are not scaled; those in standard deviations are smaller
LEVELS = 100  # how many steps of single precision the range of a column must have at least
CHANNELS = (1, 3, 4)  # grey, colour, colour and alpha
ADVICE = {
    1: " One sample is x[None]; one column is x[:, None].",
    3: " Grey images are x[:, None]; series [n, channel, time] are x[:, :, None].",
    5: " Volumes are not supported: give slices, or columns that describe them.",
}


def plain(name: str, given: object) -> NDArray:
    """Return numbers or names as a numpy array, whatever holds them.

    Args:
        name: of the argument, for messages.
        given: a numpy array, a torch tensor on any device, a frame or a series of pandas, a sparse
            matrix of scipy, or nested lists.

    Raises:
        ValueError: it holds no array of numbers or names.
    """
    if isinstance(given, Tensor):
        tensor = given.detach().cpu()
        tensor = tensor.to_dense() if tensor.layout != torch.strided else tensor
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    if isinstance(given, np.ma.MaskedArray) and np.ma.getmaskarray(given).any():
        raise ValueError(f"{name} must have no masked entries; fill or drop them.")

    dense = given.toarray() if hasattr(given, "toarray") else given
    try:
        array = np.asarray(dense)
    except ValueError as error:
        what = "rows of different lengths" if "inhomogeneous" in str(error) else str(error)
        raise ValueError(f"{name} must be one array, got {what}.") from error

    if array.dtype == object:
        array = _without_objects(name, array)
    if array.dtype.kind not in "biufUT":
        raise ValueError(f"{name} must hold real numbers, got the type {array.dtype}; convert it.")
    return array


def _without_objects(name: str, array: NDArray) -> NDArray:
    """Return an array of objects, such as a frame of mixed columns gives, as numbers or names."""
    if array.size and all(isinstance(entry, str) for entry in array.flat):
        return array.astype(str)
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        got = sorted({type(entry).__name__ for entry in array.flat})
        listed = ", ".join(got[:4]) or "nothing"
        raise ValueError(
            f"{name} must hold numbers, got objects of the types {listed}; give one array of "
            "numbers, with each category in dummies."
        ) from error


def inputs(
    name: str, given: object, columns: Sequence[str], notes: list[str]
) -> Float[Tensor, "n *feature"]:
    """Return the inputs of a split as float32: a table, or images in about [0, 1].

    Args:
        name: of the argument, for messages.
        given: what `plain` takes.
        columns: names of the columns of a table, for messages; may be empty.
        notes: what was changed is added to it.

    Raises:
        ValueError: names the argument, what it has, what was expected and what to do.
    """
    array = plain(name, given)
    if array.dtype.kind in "UT":
        raise ValueError(f"{name} must hold numbers, got text; give each category in dummies.")

    check_form(name, array.shape)
    is_image = array.ndim == 4
    if array.dtype.kind == "f":
        _check_finite(name, array, columns)
    if is_image:
        array = _scaled(name, array, notes)
    elif array.dtype.kind == "b":
        notes.append(f"{name}: true and false are 1 and 0")

    with np.errstate(over="ignore"):  # what is too large is refused by name
        single = np.array(array, dtype=np.float32, order="C")
    _check_finite(name, single, columns)
    if not is_image:
        _check_resolution(name, array, columns)
    return torch.from_numpy(single)


def check_form(name: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless this is the shape of a table or of images, channels first."""
    if len(shape) not in (2, 4) or not all(shape):
        raise ValueError(
            f"{name} must be a table [n, column] or images [n, channel, height, width], none of "
            f"them 0, got the shape {shape}.{ADVICE.get(len(shape), '')}"
        )
    if len(shape) == 4 and shape[3] in CHANNELS and shape[1] not in CHANNELS:
        raise ValueError(
            f"{name} must be images [n, channel, height, width], got the shape {shape}, whose "
            f"channels are last; give {name}.transpose(0, 3, 1, 2) (numpy) or "
            f"{name}.permute(0, 3, 1, 2) (torch)."
        )


def _scaled(name: str, images: NDArray, notes: list[str]) -> NDArray:
    """Return images in about [0, 1]."""
    low, high = float(images.min()), float(images.max())
    got = f"got {images.dtype} in {low:.4g} ... {high:.4g}"
    if images.dtype == np.uint8:
        if high <= 1:
            raise ValueError(
                f"{name} must be bytes 0 ... {BYTE} or floats 0 ... 1, {got}: this may be either; "
                "give floats."
            )
        notes.append(f"{name}: bytes are divided by {BYTE}")
        return images.astype(np.float32) / np.float32(BYTE)

    if images.dtype.kind in "iu":
        raise ValueError(
            f"{name} must be bytes (uint8) 0 ... {BYTE} or floats 0 ... 1, {got}; give uint8, or "
            "divide by the largest value that there can be."
        )
    if max(-low, high) > LARGEST:
        raise ValueError(
            f"{name} must be images in about 0 ... 1, {got}; divide by {BYTE}, or by the largest "
            "value that there can be."
        )
    return images


def _check_finite(name: str, array: NDArray, columns: Sequence[str]) -> None:
    """Raise ValueError if entries are NaN or infinite; the first is named."""
    bad = ~np.isfinite(array)
    if not bad.any():
        return
    where = _where(bad, columns)
    raise ValueError(
        f"{name} must be finite in single precision, and {int(bad.sum())} entries are NaN, "
        f"infinite or too large, the first in {where}; fill, drop or scale them."
    )


def _where(bad: NDArray, columns: Sequence[str]) -> str:
    """Return the first place that is marked: row, and column of a table."""
    row, *rest = (int(place) for place in np.argwhere(bad)[0])
    if bad.ndim != 2:
        return f"row {row}"
    column = rest[0]
    return f"row {row}, column {columns[column] if column < len(columns) else column}"


def _check_resolution(name: str, table: NDArray, columns: Sequence[str]) -> None:
    """Raise ValueError for a column whose values single precision cannot tell apart.

    A moment in seconds since 1970 has steps of two minutes in float32.
    """
    wide = table.astype(np.float64)
    low, high = wide.min(0), wide.max(0)
    spread = high - low
    step = np.abs(wide).max(0) * np.finfo(np.float32).eps
    is_lost = (spread > 0) & (spread < LEVELS * step)
    if not is_lost.any():
        return

    column = int(is_lost.argmax())
    label = columns[column] if column < len(columns) else column
    raise ValueError(
        f"{name} must fit in single precision, and column {label} has values in "
        f"{low[column]:.10g} ... {high[column]:.10g}, with steps of {step[column]:.2g}; subtract "
        "the mean and divide by the deviation."
    )

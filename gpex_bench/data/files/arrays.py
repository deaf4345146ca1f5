"""Arrays of one's own → Dataset: what fits is converted, what could be two things is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from gpex_bench.data.files.inputs import LARGEST, inputs, plain
from gpex_bench.data.files.targets import Targets, targets
from gpex_bench.types import Dataset, Kind, Split, demands
from gpex_bench.types.groups import Groups, check_groups, typical

# What an absent feature looks like, where no array is given.
Baseline = Literal[
    "mean_colour",  # of the training images, the same in each pixel; the default of images
    "train_mean",  # the mean training input, of groups the most frequent; the default of tables
    "zero",  # black; of categories: none
]


class Pair(NamedTuple):
    """The same of both splits."""

    train: Any
    test: Any


def from_arrays(  # noqa: PLR0913 - the four arrays; all else by name
    x_train: object,
    y_train: object,
    x_test: object,
    y_test: object,
    *,
    name: str = "arrays",
    kind: Kind | str | None = None,
    classes: Iterable[object] | str | None = None,
    features: Iterable[object] | None = None,
    unit: str = "",
    groups: Groups = (),
    baseline: object | Baseline | None = None,
    sample_train: object | None = None,
    sample_test: object | None = None,
) -> Dataset:
    """Return a dataset made of arrays of numpy, torch or pandas, or of lists.

    Args:
        x_train: a table [n, column], or images [n, channel, height, width] as bytes (divided by
            255) or as floats in about 0 ... 1.
        y_train: classes [n] (numbered from 0, or names), a number [n], or labels [n, label].
        x_test: as x_train.
        y_test: as y_train.
        name: of the dataset.
        kind: classes, labels or number; None: inferred from y where it can be one only.
        classes: their names in order; of a number, the name of the quantity.
        features: names of the columns of a table.
        unit: of a number.
        groups: columns that belong together, such as the dummies of one category.
        baseline: what an absent feature looks like: one input, a colour, or one of `Baseline`.
        sample_train: names of the rows for good, different whole numbers; None: rows are counted,
            those of x_test first, so that row i of x_test is sample i.
        sample_test: as sample_train.

    Raises:
        ValueError: names the argument, what it has, what was expected and what to do.
    """
    notes: list[str] = []
    columns = _columns(features, x_train)
    x = Pair(inputs("x_train", x_train, columns, notes), inputs("x_test", x_test, columns, notes))
    columns = _named(columns, x.train, is_given=features is not None)
    together = _together(groups, len(columns))
    y = targets(y_train, y_test, kind, classes, notes)
    train, test = _splits(x, y, Pair(sample_train, sample_test))
    return Dataset(
        name=name,
        train=train,
        test=test,
        classes=y.classes,
        features=columns,
        baseline=absent(train.x, baseline, together),
        kind=y.kind,
        unit=_unit(unit, y.kind),
        groups=together,
        notes=tuple(dict.fromkeys(notes)),
    )


def _columns(features: Iterable[object] | None, x_train: object) -> tuple[str, ...]:
    """Return the names of the columns that are given, or that a frame has."""
    given = features if features is not None else getattr(x_train, "columns", ())
    names = tuple(str(name) for name in given)
    demands.distinct("features", names)
    return names


def _named(columns: tuple[str, ...], x: Tensor, is_given: bool) -> tuple[str, ...]:
    """Return a name for each column of a table, and none for images."""
    n_columns = x.shape[1] if x.ndim == 2 else 0
    if not columns and not is_given:
        return tuple(f"x{column}" for column in range(n_columns))
    if len(columns) != n_columns:
        what = "columns of a table" if n_columns else "columns: images have none"
        raise ValueError(f"features must name the {n_columns} {what}, got {len(columns)} names.")
    return columns


def _unit(unit: str, kind: Kind) -> str:
    """Return the unit of a number; raises ValueError for one of something else."""
    if unit and kind is not Kind.NUMBER:
        raise ValueError(f"unit must be left out unless kind is number, got {unit!r}.")
    return unit


def _together(groups: Groups, n_columns: int) -> tuple[tuple[int, ...], ...]:
    """Return groups of columns as plain numbers; raises ValueError if they make no sense."""
    together = tuple(tuple(int(column) for column in group) for group in groups)
    check_groups(together, n_columns)
    return together


def _splits(x: Pair, y: Targets, sample: Pair) -> tuple[Split, Split]:
    """Return both splits.

    Raises:
        ValueError: inputs, targets and samples do not fit together.
    """
    if x.train.shape[1:] != x.test.shape[1:]:
        raise ValueError(
            f"x_test must have inputs of the shape {tuple(x.train.shape[1:])}, as x_train, got "
            f"{tuple(x.test.shape[1:])}."
        )
    for part, own, target in (("train", x.train, y.train), ("test", x.test, y.test)):
        if len(own) != len(target):
            raise ValueError(
                f"y_{part} must have one row for each of the {len(own)} of x_{part}, got "
                f"{len(target)}."
            )

    n_test = len(x.test)
    train = _samples("sample_train", sample.train, n_test, len(x.train))
    test = _samples("sample_test", sample.test, 0, n_test)
    values, counts = torch.cat([train, test]).unique(return_counts=True)
    repeated = values[counts > 1].tolist()
    if repeated:
        raise ValueError(
            "sample_train and sample_test must name each row for good, and "
            f"{len(repeated)} numbers are there more than once, such as {repeated[0]}; give both, "
            "or neither."
        )
    return Split(x=x.train, y=y.train, sample=train), Split(x=x.test, y=y.test, sample=test)


def _samples(name: str, given: object | None, first: int, n: int) -> Int[Tensor, "n"]:
    """Return a number for each row: the given ones, or counted from the first."""
    if given is None:
        return torch.arange(first, first + n)
    numbers = plain(name, given)
    if numbers.dtype.kind not in "iu" or numbers.shape != (n,):
        raise ValueError(
            f"{name} must be {n} whole numbers, one a row, got {numbers.dtype} of shape "
            f"{numbers.shape}."
        )
    return torch.from_numpy(numbers.astype(np.int64))


# --- what an absent feature looks like ---


def absent(
    x: Float[Tensor, "n *feature"], given: object | Baseline | None, groups: Groups
) -> Float[Tensor, "*feature"]:
    """Return what an absent feature looks like.

    Args:
        x: the training inputs.
        given: an array of the shape of one input, one number a channel, a word of `Baseline`, or
            None for the default.
        groups: of columns.

    Raises:
        ValueError: another shape or word, or entries that are not finite.
    """
    if given is None:
        given = "mean_colour" if x.ndim == 4 else "train_mean"
    if not isinstance(given, str):
        return _of_shape(plain("baseline", given), x.shape[1:])
    if given == "zero":
        return torch.zeros(x.shape[1:])
    if given == "train_mean":
        return typical(x, groups)
    if given == "mean_colour" and x.ndim == 4:
        colour = x.double().mean((0, 2, 3)).float()
        return colour[:, None, None].expand(x.shape[1:]).clone()

    known = "'mean_colour', 'train_mean', 'zero'" if x.ndim == 4 else "'train_mean', 'zero'"
    raise ValueError(f"baseline must be one of {known} or an array, got {given!r}.")


def _of_shape(array: NDArray, shape: torch.Size) -> Tensor:
    """Return a baseline that is given as an array, or as one number a channel."""
    wanted = tuple(shape)
    n_channels = shape[0] if len(shape) == 3 else 0
    is_colour = array.shape in ((n_channels,), (n_channels, 1, 1))
    if n_channels and is_colour:
        array = np.broadcast_to(array.reshape(n_channels, 1, 1), wanted)

    if array.shape != wanted or array.dtype.kind in "UT":
        or_colour = f" or ({n_channels},)" if n_channels else ""
        raise ValueError(
            f"baseline must be numbers of the shape of one input, {wanted}{or_colour}, got "
            f"{array.dtype} of shape {array.shape}."
        )
    is_bytes = array.dtype == np.uint8 or np.abs(array).max() > LARGEST
    if n_channels and is_bytes:
        raise ValueError("baseline must be in the units of images, about 0 ... 1; divide by 255.")
    if not np.isfinite(array.astype(np.float64)).all():
        raise ValueError("baseline must be finite, and some entries are NaN or infinite.")
    return torch.from_numpy(np.array(array, dtype=np.float32))

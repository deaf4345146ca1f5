"""Targets as people have them: classes, labels or a number, of any type → what `Split.y` holds.

The kind is inferred where nothing else is possible: whole numbers from 0 up and names are classes,
two axes are labels, other numbers are a number. Where it could be either it must be given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpex_bench.data.files.inputs import plain
from gpex_bench.types import Kind, demands

N_LISTED = 6  # values in a message
FEW = 20  # float targets with this many whole numbers or fewer may be classes


@dataclass(frozen=True)
class Targets:
    """The targets of both splits."""

    train: Tensor
    test: Tensor
    kind: Kind
    classes: tuple[str, ...]


def targets(
    y_train: object,
    y_test: object,
    kind: Kind | str | None,
    classes: Iterable[object] | str | None,
    notes: list[str],
) -> Targets:
    """Return the targets of both splits, and the names of their classes.

    Raises:
        ValueError: names the argument, what it has, what was expected and what to do.
    """
    pair = {"y_train": plain("y_train", y_train), "y_test": plain("y_test", y_test)}
    chosen = kind_of(pair, kind, classes, notes)
    names = _names(classes)
    made = {Kind.CLASSES: _classes, Kind.LABELS: _labels, Kind.NUMBER: _number}[chosen]
    return made(pair, names)


def kind_of(
    given: Mapping[str, object],
    kind: Kind | str | None,
    classes: Iterable[object] | str | None,
    notes: list[str] | None = None,
) -> Kind:
    """Return the kind of targets: the given one, else what they are.

    Args:
        given: the targets by the name of their argument, that of training first.
        kind: None if it is to be inferred.
        classes: names of classes, if there are some.
        notes: what was inferred is added to it.

    Raises:
        ValueError: they have other axes, or may be of several kinds.
    """
    pair = {name: plain(name, y) for name, y in given.items()}
    for name, y in pair.items():
        _check_axes(name, y)
    if kind is None:
        return _inferred(pair, _names(classes), [] if notes is None else notes)
    try:
        return Kind(kind)
    except ValueError as error:
        known = ", ".join(repr(one.value) for one in Kind)
        raise ValueError(f"kind must be one of {known}, got {kind!r}.") from error


def _names(classes: Iterable[object] | str | None) -> tuple[str, ...] | None:
    """Return the names of the outputs; one name may come as plain text."""
    if classes is None or isinstance(classes, str):
        return classes if classes is None else (classes,)
    names = tuple(str(name) for name in classes)
    demands.distinct("classes", names)
    return names


def _check_axes(name: str, y: NDArray) -> None:
    """Raise ValueError unless targets have one axis, or two for labels."""
    if y.ndim == 2 and y.shape[1] == 1:
        raise ValueError(
            f"{name} must be [n], or [n, label] for labels, got the shape {y.shape}; give "
            f"{name}[:, 0]."
        )
    if y.ndim not in (1, 2) or not y.size:
        raise ValueError(f"{name} must be [n], or [n, label] for labels, got the shape {y.shape}.")


def _inferred(pair: dict[str, NDArray], names: tuple[str, ...] | None, notes: list[str]) -> Kind:
    """Return the kind that targets are; raises ValueError where they could be of several."""
    first = next(iter(pair.values()))
    if first.ndim == 2:
        return _labels_or_refused(pair)
    if first.dtype.kind in "bUT":
        return Kind.CLASSES

    values = np.unique(np.concatenate([y.astype(np.float64) for y in pair.values()]))
    if not (values == np.round(values)).all():
        return Kind.NUMBER

    is_integer = first.dtype.kind in "iu"
    is_counted = bool(values[0] == 0 and values[-1] == len(values) - 1)
    n_names = len(names or ())
    if n_names > 1:
        return Kind.CLASSES
    if n_names == 1 and not is_counted:
        return Kind.NUMBER
    if n_names == 0 and is_integer and is_counted:
        notes.append(f"the whole numbers 0 ... {len(values) - 1} are taken as classes")
        return Kind.CLASSES
    if not is_integer and len(values) > FEW:
        return Kind.NUMBER

    listed = ", ".join(f"{value:g}" for value in values[:N_LISTED])
    raise ValueError(
        f"kind must be given for targets of {len(values)} different whole numbers ({listed}"
        f"{', ...' if len(values) > N_LISTED else ''}; {first.dtype}): {Kind.NUMBER.value!r} for a "
        f"quantity, {Kind.CLASSES.value!r} for classes."
    )


def _labels_or_refused(pair: dict[str, NDArray]) -> Kind:
    """Return the kind of targets with two axes, unless each row has exactly one label."""
    is_one_hot = all(bool((y.astype(np.float64).sum(1) == 1).all()) for y in pair.values())
    if is_one_hot:
        raise ValueError(
            "kind must be given where each row of y_train and y_test has exactly one 1: for "
            f"classes give y.argmax(1), for labels {Kind.LABELS.value!r}."
        )
    return Kind.LABELS


def _classes(pair: dict[str, NDArray], names: tuple[str, ...] | None) -> Targets:
    """Return classes, which are numbered from 0 or named."""
    for name, y in pair.items():
        if y.ndim != 1:
            raise ValueError(f"{name} must be [n] for classes, got {y.shape}; give y.argmax(1).")
    is_named = pair["y_train"].dtype.kind in "UT"
    if is_named != (pair["y_test"].dtype.kind in "UT"):
        raise ValueError("y_train and y_test must both be names of classes, or both numbers.")

    if is_named:
        names = names or tuple(str(one) for one in np.unique(pair["y_train"]))
        numbers = {name: _numbered(name, y, names) for name, y in pair.items()}
    else:
        numbers = {name: _whole(name, y) for name, y in pair.items()}
        most = max(int(y.max()) for y in numbers.values())
        if names is None:
            _check_counted(numbers["y_train"], most)
            is_bool = pair["y_train"].dtype == bool
            names = ("False", "True") if is_bool else tuple(map(str, range(most + 1)))
        for name, y in numbers.items():
            _check_range(name, y, len(names))

    train, test = (torch.from_numpy(numbers[name]) for name in ("y_train", "y_test"))
    return Targets(train, test, Kind.CLASSES, names)


def _numbered(name: str, y: NDArray, names: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the number of each class that is given by its name."""
    number = {one: place for place, one in enumerate(names)}
    unknown = sorted({str(one) for one in y} - set(number))
    if unknown:
        raise ValueError(
            f"{name} must hold names of classes ({', '.join(names[:N_LISTED])}"
            f"{', ...' if len(names) > N_LISTED else ''}), got {', '.join(unknown[:N_LISTED])}; "
            "list it in classes."
        )
    return np.array([number[str(one)] for one in y], dtype=np.int64)


def _whole(name: str, y: NDArray) -> NDArray[np.int64]:
    """Return whole numbers as int64."""
    if y.dtype.kind == "f":
        bad = ~np.isfinite(y) | (y != np.round(y))
        if bad.any():
            row = int(bad.nonzero()[0][0])
            raise ValueError(
                f"{name} must be whole numbers for classes, got {y[row]:g} in row {row}; for a "
                f"quantity give kind={Kind.NUMBER.value!r}."
            )
    return y.astype(np.int64)


def _check_range(name: str, y: NDArray[np.int64], n_classes: int) -> None:
    """Raise ValueError for classes that are not numbered from 0, or that have no name."""
    low, high = int(y.min()), int(y.max())
    if n_classes < 2:
        raise ValueError(
            f"classes must name at least 2 classes, got {n_classes} name for {name} in {low} ... "
            f"{high}."
        )
    if low >= 0 and high < n_classes:
        return

    remedy = "list every class in classes, or mend the targets"
    if low == 1 and high == n_classes:
        remedy = f"they seem to be counted from 1: give {name} - 1"
    elif low == -1 and set(np.unique(y)) == {-1, 1}:
        remedy = f"give ({name} + 1) // 2"
    row = int(((y < 0) | (y >= n_classes)).nonzero()[0][0])
    raise ValueError(
        f"{name} must be in 0 ... {n_classes - 1}, as classes has {n_classes} names, got {y[row]} "
        f"in row {row}; {remedy}."
    )


def _check_counted(y: NDArray[np.int64], most: int) -> None:
    """Raise ValueError if classes without names are not 0, 1, ..., each with a training row."""
    missing = sorted(set(range(most + 1)) - {int(label) for label in np.unique(y)})
    if not missing:
        return
    listed = ", ".join(map(str, missing[:N_LISTED]))
    remedy = "number the classes without gaps, or name all of them in classes"
    if missing == [0]:
        remedy = "if they are counted from 1, give y_train - 1 and y_test - 1"
    raise ValueError(
        f"y_train must have rows of every class, and {len(missing)} have none ({listed}); {remedy}."
    )


def _labels(pair: dict[str, NDArray], names: tuple[str, ...] | None) -> Targets:
    """Return labels, 0 or 1 in each entry."""
    n_labels = pair["y_train"].shape[-1]
    names = names or tuple(str(label) for label in range(n_labels))
    made = {}
    for name, y in pair.items():
        if y.ndim != 2 or y.shape[1] != len(names):
            raise ValueError(
                f"{name} must be [n, label] with the {len(names)} labels of classes, got the shape "
                f"{y.shape}."
            )
        if y.dtype.kind in "UT" or not np.isin(y, (0, 1)).all():
            raise ValueError(f"{name} must be 0 or 1 for each label, got other values.")
        made[name] = torch.from_numpy(y.astype(np.int64))
    return Targets(made["y_train"], made["y_test"], Kind.LABELS, names)


def _number(pair: dict[str, NDArray], names: tuple[str, ...] | None) -> Targets:
    """Return a quantity as float32."""
    names = names or ("y",)
    if len(names) != 1:
        raise ValueError(f"classes must be one name for a number, got {len(names)}.")

    made = {}
    for name, y in pair.items():
        if y.ndim != 1 or y.dtype.kind in "UT":
            raise ValueError(f"{name} must be numbers [n], got {y.dtype} of shape {y.shape}.")
        with np.errstate(over="ignore"):
            single = np.array(y, dtype=np.float32)
        bad = ~np.isfinite(single)
        if bad.any():
            row = int(bad.nonzero()[0][0])
            raise ValueError(f"{name} must be finite, got {y[row]} in row {row}; drop such rows.")
        made[name] = torch.from_numpy(single)
    return Targets(made["y_train"], made["y_test"], Kind.NUMBER, names)

"""Columns of numbers and categories → the inputs of a table, by statistics of the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gpex_bench.data.files import tables
from gpex_bench.data.files.columns import Column, ordered

N_LISTED = 5  # names in a message


@dataclass
class Features:
    """The inputs of all rows, column by column."""

    values: list[NDArray[np.float64]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    groups: list[tuple[int, ...]] = field(default_factory=list)
    scales: list[tuple[float, float]] = field(default_factory=list)  # mean and deviation

    @property
    def x(self) -> NDArray[np.float32]:
        """The inputs [row, column]."""
        return np.stack(self.values, axis=1).astype(np.float32)


def features(
    columns: Sequence[Column],
    train: NDArray[np.int64],
    notes: list[str],
    *,
    is_standardised: bool = True,
) -> Features:
    """Return the inputs of all rows.

    Args:
        columns: of all rows; what is missing is filled.
        train: the training rows.
        notes: what was filled or left out is added to it.
        is_standardised: whether numbers are in standard deviations from their mean.

    Raises:
        ValueError: nothing is left, or a column is missing in every training row.
    """
    built = Features()
    for column in columns:
        if column.is_missing[train].all():
            raise ValueError(
                f"column {column.name} has no entry in the training rows; list it in drop."
            )
        n_missing = int(column.is_missing.sum())
        if column.numbers is None:
            how = _add_category(built, column, train, notes)
        else:
            how = _add_number(built, column.name, column.numbers, train, is_standardised)
        if not how:
            notes.append(f"{column.name} is constant in the training rows, and left out")
        elif n_missing:
            notes.append(f"{n_missing} missing entries of {column.name} are {how}")

    if not built.values:
        raise ValueError("There must be a column that differs between training rows, got none.")
    return built


def _add_number(
    built: Features,
    name: str,
    numbers: NDArray[np.float64],
    train: NDArray[np.int64],
    is_standardised: bool,
) -> str:
    """Add a number; return what fills a missing one, "" if it is constant."""
    known = numbers[train]
    known = known[np.isfinite(known)]
    (mean,), (deviation,) = tables.moments(known[:, None])
    if np.ptp(known) == 0:
        return ""

    filled = np.where(np.isfinite(numbers), numbers, mean)
    shift, scale = (float(mean), float(deviation)) if is_standardised else (0.0, 1.0)
    built.names.append(name)
    built.values.append((filled - shift) / scale)
    built.scales.append((shift, scale))
    return f"the training mean, {mean:.4g}"


def _add_category(
    built: Features, column: Column, train: NDArray[np.int64], notes: list[str]
) -> str:
    """Add a column for each value; return what fills a missing one, "" if all are the same."""
    known = column.texts[train]
    values, counts = np.unique(known[known != ""].astype(str), return_counts=True)
    if len(values) < 2:
        return ""

    usual = str(values[counts.argmax()])
    filled = np.where(column.is_missing, usual, column.texts)
    first = len(built.names)
    for value in ordered(values.tolist()):
        built.names.append(f"{column.name}={value}")
        built.values.append((filled == value).astype(np.float64))
        built.scales.append((0.0, 1.0))
    built.groups.append(tuple(range(first, len(built.names))))

    others = sorted(set(filled.tolist()) - set(values.tolist()))
    if others:
        n_others = int(np.isin(filled, others).sum())
        notes.append(
            f"{column.name} has values in {n_others} test rows that no training row has, which are "
            f"none of the known ones: {', '.join(others[:N_LISTED])}"
        )
    return f"the most frequent, {usual!r}"

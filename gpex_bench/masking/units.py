"""Units: what is removed, masked and ranked together.

A unit of an image is a pixel with all its channels. A unit of a table is a column, or a group of
columns that belong together (`Dataset.groups`: the dummies of one category). A group is always
shown or absent as a whole: half a category is an input that no network was trained on. Its
relevance is the sum over its columns; methods that know the value of a group alone spread it evenly
over its columns, so that the sum stays.

Units are numbered in the order of their first columns.
"""

from __future__ import annotations

import os.path
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from gpex_bench.tables.words import number
from gpex_bench.types import Dataset
from gpex_bench.types.groups import Groups

SEPARATORS = " _=:.-"  # between the name of a category and its values


def unit_of_column(groups: Groups, n_columns: int) -> Int[Tensor, "column"]:
    """Return the unit of each column of a table."""
    first = {column: min(group) for group in groups for column in group}
    leaders = [first.get(column, column) for column in range(n_columns)]
    number = {leader: place for place, leader in enumerate(sorted(set(leaders)))}
    return torch.tensor([number[leader] for leader in leaders])


def in_groups(data: Dataset) -> Bool[Tensor, "column"]:
    """Return which columns of a table belong to a group of several."""
    of_group = torch.zeros(data.baseline.shape[0], dtype=torch.bool)
    of_group[[column for group in data.groups for column in group]] = True
    return of_group


def units(data: Dataset) -> Int[Tensor, "column"] | None:
    """Return the unit of each column; None where a position is a unit: no columns are grouped."""
    return unit_of_column(data.groups, data.baseline.shape[0]) if data.groups else None


def unit_names(data: Dataset) -> tuple[str, ...]:
    """Return the names of the units of a table: of a group, what its columns' names begin with."""
    if not data.groups:
        return data.features
    found: dict[int, list[str]] = {}
    for unit, name in zip(
        unit_of_column(data.groups, len(data.features)).tolist(), data.features, strict=True
    ):
        found.setdefault(unit, []).append(name)

    names = []
    for unit in sorted(found):
        of_unit = found[unit]
        names.append(_shared(of_unit) or " / ".join(of_unit))
    return tuple(names)


def _shared(names: Sequence[str]) -> str:
    """Return the name of a category, with which the names of its columns begin.

    It ends at the first "=", else at the last separator that all have: "size_10", "size_12".
    """
    shared = os.path.commonprefix(names)
    if "=" in shared:
        return shared.partition("=")[0].rstrip()

    rest = [name[len(shared) :] for name in names]
    is_cut = not all(part[:1] in ("", *SEPARATORS) for part in rest)
    if is_cut:
        shared = shared[: max(shared.rfind(separator) for separator in SEPARATORS) + 1]
    return shared.rstrip(SEPARATORS)


def unit_values(data: Dataset, x: Float[Tensor, "column"]) -> tuple[str, ...]:
    """Return the value of each unit of a row in words: a number, or the category.

    Numbers are in the units of the raw data where the dataset knows them (`Dataset.scales`), else
    as the network gets them.
    """
    names = unit_names(data)
    columns: dict[int, list[int]] = {}
    for column, unit in enumerate(unit_of_column(data.groups, len(x)).tolist()):
        columns.setdefault(unit, []).append(column)

    found = []
    for unit, name in enumerate(names):
        own = columns[unit]
        if len(own) > 1:
            found.append(_category(data, x, own, name))
        else:
            found.append(_in_units(data, float(x[own[0]]), own[0]))
    return tuple(found)


def _category(data: Dataset, x: Float[Tensor, "column"], columns: Sequence[int], name: str) -> str:
    """Return the name of the category that a row has, or "none"."""
    there = [column for column in columns if x[column] == 1]
    if len(there) != 1:
        return "none" if not there else "several"
    return data.features[there[0]].removeprefix(name).lstrip(SEPARATORS)


def _in_units(data: Dataset, entry: float, column: int) -> str:
    """Return a number in its own units as text."""
    if not data.scales:
        return number(entry, 1.0)
    mean, deviation = data.scales[column]
    raw = mean + deviation * entry
    return f"{raw:,.0f}" if abs(raw) >= 10_000 else f"{raw:.4g}"


def per_unit(
    values: Float[Tensor, "batch position"], unit: Int[Tensor, "position"] | None
) -> Float[Tensor, "batch unit"]:
    """Return the sum over the positions of each unit; `unit` is what `units` returns."""
    if unit is None:
        return values
    unit = unit.to(values.device)
    total = values.new_zeros(len(values), int(unit.max()) + 1)
    return total.index_add_(1, unit, values)


def at_positions(
    of_unit: Shaped[Tensor, "row unit"], unit: Int[Tensor, "position"] | None
) -> Shaped[Tensor, "row position"]:
    """Return for each position what is said of its unit; `unit` is what `units` returns."""
    return of_unit if unit is None else of_unit[:, unit.to(of_unit.device)]


def whole(
    mask: Float[Tensor, "row *position"], of_group: Bool[Tensor, "column"] | None
) -> Float[Tensor, "row *position"]:
    """Return masks in which groups are shown (from one half up) or absent as a whole."""
    if of_group is None:
        return mask
    return torch.where(of_group.to(mask.device), (mask >= 0.5).to(mask), mask)

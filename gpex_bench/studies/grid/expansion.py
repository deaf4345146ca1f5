"""Expands a grid of settings over plug-in entries into run ids, by rule.

An axis changes one entry. An entry with axes is replaced by one entry for each point of their grid, whose run id is
the entry's own, then for each axis its name and value (`gpex_m256`) or its point (`gpex_m256_fixed`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import product
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from gpex_bench.config.resolve import ConfigError, unknown
from gpex_bench.plugins.registry import NAME
from gpex_bench.types import settings

SECTIONS = {"datasets": "dataset", "models": "model", "surrogates": "surrogate"}  # what may vary
PLACES = tuple(
    SECTIONS.values()
)  # columns that always stand in a study's table: the entries as written
Id = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
Number = bool | int | float | str | None
Points = dict[str, dict[str, list["Point"]]]  # by section and by entry as written
Written = Mapping[str, dict[str, Any] | None]  # a plug-in section: run id → hyperparameters


@settings
class Axis:
    """What one axis of the grid changes: values of one hyperparameter, or named points of several."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: Id  # column in the table, and part of the run ids of values
    of: str  # what it changes: surrogates.gpex.dim, or surrogates.gpex for points
    values: tuple[Number, ...] = ()
    points: dict[Id, dict[str, Any] | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """One entry of an expanded section."""

    id: str
    entry: str  # run id of the entry it was made from
    labels: Mapping[str, Number]  # its place on each axis, by the axis's name


@dataclass(frozen=True)
class Setting:
    """One surrogate on one network of a study: what its run ids are, and where it stands in the grid."""

    dataset: str
    model: str
    surrogate: str
    labels: Mapping[
        str, Number
    ]  # dataset, model and surrogate as written in the config, then the axes

    @classmethod
    def of(cls, *points: Point) -> Setting:
        """Return the setting of a dataset, a model and a surrogate."""
        entries = {place: point.entry for place, point in zip(PLACES, points, strict=True)}
        axes = {name: label for point in points for name, label in point.labels.items()}
        dataset, model, surrogate = (point.id for point in points)
        return cls(dataset, model, surrogate, entries | axes)


def expand(
    axes: Sequence[Axis], sections: Mapping[str, Written]
) -> tuple[dict[str, Written], Points]:
    """Return the sections with every entry that has axes replaced by its grid, and the points by section and entry.

    Args:
        axes: what varies.
        sections: the plug-in sections as written, by name.

    Raises:
        ConfigError: an axis names what is not there, or is empty; two points get one run id.
    """
    for number, axis in enumerate(axes):
        _check_axis(f"grid.axes.{number}", axis, sections)
    expanded: dict[str, Written] = dict(sections)
    points: Points = {}
    for name in SECTIONS:
        made: dict[str, dict[str, Any] | None] = {}
        points[name] = {}
        for entry, written in sections[name].items():
            own = [axis for axis in axes if axis.of.split(".")[:2] == [name, entry]]
            points[name][entry] = []
            for point, changed in _grid(SECTIONS[name], entry, written, own):
                if point.id in made:
                    raise ConfigError(
                        f"grid.axes: two points of {name} have the run id {point.id!r}; rename one."
                    )
                made[point.id] = changed
                points[name][entry].append(point)
        expanded[name] = made
    return expanded, points


def _check_axis(where: str, axis: Axis, sections: Mapping[str, Written]) -> None:
    section, *rest = axis.of.split(".")
    if section not in SECTIONS:
        raise unknown(f"{where}.of", "section", section, SECTIONS)
    entry = rest[0] if rest else ""
    if entry not in sections[section]:
        raise unknown(f"{where}.of", f"run id of a {SECTIONS[section]}", entry, sections[section])
    if bool(axis.values) == bool(axis.points):
        raise ConfigError(
            f"{where}: give either values (of one hyperparameter) or points (named groups of them)."
        )
    if axis.values and len(rest) < 2:
        raise ConfigError(
            f"{where}.of: values need a hyperparameter, such as {axis.of}.seed; got {axis.of!r}."
        )
    if axis.name in PLACES:
        raise ConfigError(
            f"{where}.name: {axis.name!r} is a column of its own; choose another name."
        )


def is_number(value: Number) -> bool:
    """Return whether a value of an axis is a number, so that an axis can have a direction."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _grid(
    kind: str, entry: str, written: dict[str, Any] | None, axes: Sequence[Axis]
) -> Iterator[tuple[Point, Any]]:
    """Yield the points of one entry's axes with their hyperparameters, the last axis fastest."""
    for chosen in product(*([*_steps(axis)] for axis in axes)):
        changed = deepcopy(written) if written or not axes else {}
        run_id = entry
        if changed is not None and axes:
            changed.setdefault(kind, entry)
        for suffix, _, change in chosen:
            run_id += f"_{suffix}"
            changed = merged(changed or {}, change)
        labels = {axis.name: label for axis, (_, label, _) in zip(axes, chosen, strict=True)}
        yield Point(run_id, entry, labels), changed


def _steps(axis: Axis) -> Iterator[tuple[str, Number, dict[str, Any]]]:
    """Yield the suffix of the run id, the label in the table, and the change of each step of an axis."""
    _, _, *path = axis.of.split(".")
    for value in axis.values:
        change: Any = value
        for key in reversed(path):
            change = {key: change}
        yield f"{axis.name}{_word(value)}", value, change
    for name, changed in axis.points.items():
        change = changed or {}
        for key in reversed(path):
            change = {key: change}
        yield name, name, change


def _word(value: Number) -> str:
    """Return a value as part of a run id: 0.01 becomes 0p01, -1 becomes m1."""
    text = f"{value:g}" if isinstance(value, float) else str(value).lower()
    return re.sub(r"[^a-z0-9_]", "_", text.replace(".", "p").replace("-", "m").replace("+", ""))


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested hyperparameters with some of them changed."""
    result = dict(old)
    for key, item in new.items():
        inner = result.get(key)
        result[key] = (
            merged(inner if isinstance(inner, Mapping) else {}, item)
            if isinstance(item, Mapping)
            else item
        )
    return result

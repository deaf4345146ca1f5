"""Expands a grid of settings over plug-in entries into run ids.

An axis changes one entry. An entry with axes is replaced by one entry for each point of their grid.
Its run id is the entry's own, then for each axis its name and value (`gpex_m256`) or its point
(`gpex_m256_fixed`).
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

# the sections whose entries may vary, and what one of their entries is called
SECTIONS = {"datasets": "dataset", "models": "model", "surrogates": "surrogate"}
# columns that every table of a grid has: the entries as written
PLACES = tuple(SECTIONS.values())

Id = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
Number = bool | int | float | str | None
# by section, and by entry as written
Points = dict[str, dict[str, list["Point"]]]
# a plug-in section: hyperparameters by run id
Written = Mapping[str, dict[str, Any] | None]


@settings
class Axis:
    """What an axis of the grid changes: values of one hyperparameter, or named groups of them."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    # column in the table, and part of the run ids of values
    name: Id
    # what it changes: surrogates.gpex.dim, or surrogates.gpex for points
    of: str
    values: tuple[Number, ...] = ()
    points: dict[Id, dict[str, Any] | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """One entry of an expanded section."""

    id: str
    # run id of the entry it was made from
    entry: str
    # its place on each axis, by the axis's name
    labels: Mapping[str, Number]


@dataclass(frozen=True)
class Setting:
    """One surrogate on one network: its run ids, and its place in the grid."""

    dataset: str
    model: str
    surrogate: str
    # dataset, model and surrogate as written in the config, then the axes
    labels: Mapping[str, Number]

    @property
    def id(self) -> str:
        """Its run ids as one text."""
        return f"{self.dataset}/{self.model}/{self.surrogate}"

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
    """Return the sections with the grids of their entries in place, and the points of every entry.

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
    for section, kind in SECTIONS.items():
        made: dict[str, dict[str, Any] | None] = {}
        points[section] = {}
        for entry, written in sections[section].items():
            own = [axis for axis in axes if axis.of.split(".")[:2] == [section, entry]]
            steps = list(_grid(kind, entry, written, own))
            points[section][entry] = [point for point, _ in steps]

            for point, changed in steps:
                if point.id in made:
                    raise ConfigError(
                        f"grid.axes: run ids of {section} must be distinct, got {point.id!r} for "
                        "two points; rename one."
                    )
                made[point.id] = changed
        expanded[section] = made
    return expanded, points


def _check_axis(where: str, axis: Axis, sections: Mapping[str, Written]) -> None:
    """Raise ConfigError if an axis changes nothing that is there."""
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
            f"{where}.name: {axis.name!r} is already a column of the table; choose another name."
        )


def is_number(value: Number) -> bool:
    """Return whether a value of an axis is a number, so that an axis can have a direction."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _grid(
    kind: str, entry: str, written: dict[str, Any] | None, axes: Sequence[Axis]
) -> Iterator[tuple[Point, Any]]:
    """Yield the points of one entry's axes with their hyperparameters, the last axis fastest."""
    steps = [list(_steps(axis)) for axis in axes]
    for chosen in product(*steps):
        changed = deepcopy(written) if written or not axes else {}
        if changed is not None and axes:
            changed.setdefault(kind, entry)  # the plug-in keeps its name under the new run id

        run_id = entry
        for suffix, _, change in chosen:
            run_id += f"_{suffix}"
            changed = merged(changed or {}, change)

        labels = {axis.name: label for axis, (_, label, _) in zip(axes, chosen, strict=True)}
        yield Point(run_id, entry, labels), changed


def _steps(axis: Axis) -> Iterator[tuple[str, Number, dict[str, Any]]]:
    """Yield the suffix of the run id, the label in the table, and the change of each step."""
    _, _, *path = axis.of.split(".")
    for value in axis.values:
        yield f"{axis.name}{_word(value)}", value, _nested(path, value)
    for name, change in axis.points.items():
        yield name, name, _nested(path, change or {})


def _nested(path: Sequence[str], change: Any) -> Any:
    """Return a change of the hyperparameter at a path: dim → {"dim": change}."""
    for key in reversed(path):
        change = {key: change}
    return change


def _word(value: Number) -> str:
    """Return a value as part of a run id: 0.01 becomes 0p01, -1 becomes m1."""
    text = f"{value:g}" if isinstance(value, float) else str(value).lower()
    return re.sub(r"[^a-z0-9_]", "_", text.replace(".", "p").replace("-", "m").replace("+", ""))


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested hyperparameters with some of them changed."""
    result = dict(old)
    for key, item in new.items():
        if not isinstance(item, Mapping):
            result[key] = item
            continue
        inner = result.get(key)
        result[key] = merged(inner if isinstance(inner, Mapping) else {}, item)
    return result

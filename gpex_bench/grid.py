"""The `study` section of a config: a grid of settings over plug-in entries, expanded into run ids by rule.

An axis changes one entry. An entry with axes is replaced by one entry for each point of their grid, whose run id is
the entry's own, then for each axis its name and value (`gpex_m256`) or its point (`gpex_m256_fixed`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from gpex_bench.entries import ConfigError, unknown
from gpex_bench.registry import NAME

SECTIONS = {"datasets": "dataset", "models": "model", "surrogates": "surrogate"}  # what may vary
PLACES = tuple(SECTIONS.values())  # columns that always stand in a study's table: the entries as written
Id = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
Number = bool | int | float | str | None
Points = dict[str, dict[str, list["Point"]]]  # by section and by entry as written
Written = Mapping[str, dict[str, Any] | None]  # a plug-in section: run id → hyperparameters


class Axis(BaseModel):
    """What one axis of the grid changes: values of one hyperparameter, or named points of several."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    name: Id  # column in the table, and part of the run ids of values
    of: str  # what it changes: surrogates.gpex.dim, or surrogates.gpex for points
    values: tuple[Number, ...] = ()
    points: dict[Id, dict[str, Any] | None] = {}


class Study(BaseModel):
    """A question, the grid that answers it, and how the answer is shown."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    question: str
    axes: tuple[Axis, ...] = ()
    x: Id  # an axis, or dataset, model or surrogate
    hue: Id | None = None  # likewise
    log: bool = False  # the scale of x
    statistics: Annotated[tuple[Id, ...], Field(min_length=1)]  # of agreement, or fit_seconds; sentences: the first
    splits: Annotated[tuple[Id, ...], Field(min_length=1)] = ("test",)
    better: Literal["higher", "lower"] = "higher"  # direction of the first statistic


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
    labels: Mapping[str, Number]  # dataset, model and surrogate as written in the config, then the axes

    @classmethod
    def of(cls, *points: Point) -> Setting:
        """Return the setting of a dataset, a model and a surrogate."""
        entries = {place: point.entry for place, point in zip(PLACES, points, strict=True)}
        axes = {name: label for point in points for name, label in point.labels.items()}
        dataset, model, surrogate = (point.id for point in points)
        return cls(dataset, model, surrogate, entries | axes)


def expand(study: Study, sections: Mapping[str, Written]) -> tuple[dict[str, Written], Points]:
    """Return the sections with every entry that has axes replaced by its grid, and the points by section and entry.

    Args:
        study: the axes.
        sections: the plug-in sections as written, by name.

    Raises:
        ConfigError: an axis names what is not there, or is empty; two points get one run id.
    """
    for number, axis in enumerate(study.axes):
        _check_axis(f"study.axes.{number}", axis, sections)
    _check_shown(study)
    expanded: dict[str, Written] = dict(sections)
    points: Points = {}
    for name in SECTIONS:
        made: dict[str, dict[str, Any] | None] = {}
        points[name] = {}
        for entry, written in sections[name].items():
            axes = [axis for axis in study.axes if axis.of.split(".")[:2] == [name, entry]]
            points[name][entry] = []
            for point, settings in _grid(SECTIONS[name], entry, written, axes):
                if point.id in made:
                    raise ConfigError(f"study.axes: two points of {name} have the run id {point.id!r}; rename one.")
                made[point.id] = settings
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
        raise ConfigError(f"{where}: give either values (of one hyperparameter) or points (named groups of them).")
    if axis.values and len(rest) < 2:
        raise ConfigError(f"{where}.of: values need a hyperparameter, such as {axis.of}.seed; got {axis.of!r}.")
    if axis.name in PLACES:
        raise ConfigError(f"{where}.name: {axis.name!r} is a column of its own; choose another name.")


def _check_shown(study: Study) -> None:
    known = [*PLACES, *(axis.name for axis in study.axes)]
    for key, name in (("x", study.x), ("hue", study.hue)):
        if name is not None and name not in known:
            raise unknown(f"study.{key}", "axis", name, known)
    on_x = [value for axis in study.axes if axis.name == study.x for value in axis.values]
    if study.log and not (on_x and all(is_number(value) and float(value) > 0 for value in on_x)):  # type: ignore[arg-type]
        raise ConfigError(f"study.log: needs positive numbers along x, got {study.x!r} with {on_x or 'no values'}.")


def is_number(value: Number) -> bool:
    """Return whether a value of an axis is a number, so that an axis can have a direction."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _grid(kind: str, entry: str, written: dict[str, Any] | None, axes: Sequence[Axis]) -> Iterator[tuple[Point, Any]]:
    """Yield the points of one entry's axes with their hyperparameters, the last axis fastest."""
    for chosen in product(*([*_steps(axis)] for axis in axes)):
        settings = deepcopy(written) if written or not axes else {}
        run_id = entry
        if settings is not None and axes:
            settings.setdefault(kind, entry)
        for suffix, _, change in chosen:
            run_id += f"_{suffix}"
            settings = merged(settings or {}, change)
        labels = {axis.name: label for axis, (_, label, _) in zip(axes, chosen, strict=True)}
        yield Point(run_id, entry, labels), settings


def _steps(axis: Axis) -> Iterator[tuple[str, Number, dict[str, Any]]]:
    """Yield the suffix of the run id, the label in the table, and the change of each step of an axis."""
    _, _, *path = axis.of.split(".")
    for value in axis.values:
        change: Any = value
        for key in reversed(path):
            change = {key: change}
        yield f"{axis.name}{_word(value)}", value, change
    for name, settings in axis.points.items():
        change = settings or {}
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
        result[key] = merged(inner if isinstance(inner, Mapping) else {}, item) if isinstance(item, Mapping) else item
    return result


def check_places(study: Study, grid: Sequence[Setting]) -> None:
    """Check that there is something to compare, and that no two settings stand at one place of the figure.

    Raises:
        ConfigError: names both.
    """
    if not grid:
        raise ConfigError("networks: a study compares surrogates with networks; name a surrogate for at least one.")
    seen: dict[tuple[Any, ...], Setting] = {}
    for setting in grid:
        labels = setting.labels
        place = (labels["dataset"], labels["model"], labels.get(study.x), labels.get(study.hue or study.x))
        other = seen.setdefault(place, setting)
        if other is not setting:
            both = [f"{one.dataset}/{one.model}/{one.surrogate}" for one in (other, setting)]
            raise ConfigError(
                f"study.hue: {' and '.join(both)} would stand at the same place of the figure; "
                f"let x ({study.x!r}) and hue ({study.hue!r}) tell them apart."
            )

"""The section `grid` of a config: a question, the settings that are compared to answer it, and how that is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import Field

from gpex_bench.config.resolve import ConfigError, unknown
from gpex_bench.config.schema import Network
from gpex_bench.studies.grid.expansion import (
    PLACES,
    Axis,
    Id,
    Point,
    Points,
    Setting,
    Written,
    expand,
    is_number,
)
from gpex_bench.types import Study, settings


@settings
class Grid(Study):
    """A question, the grid of settings that answers it, and how the answer is shown."""

    reference = "akbarnejad2023gpex"

    question: str
    axes: tuple[Axis, ...] = ()
    x: Id  # an axis, or dataset, model or surrogate
    hue: Id | None = None  # likewise
    log: bool = False  # the scale of x
    # statistics of agreement, or fit_seconds; the sentences are about the first
    statistics: Annotated[tuple[Id, ...], Field(min_length=1)]
    splits: Annotated[tuple[Id, ...], Field(min_length=1)] = ("test",)
    better: Literal["higher", "lower"] = "higher"  # direction of the first statistic

    def expand(
        self, sections: Mapping[str, Written], networks: Sequence[Network]
    ) -> tuple[dict[str, Written], tuple[Network, ...]]:
        """Return the sections and networks with the grid in place of the entries that it varies.

        Raises:
            ConfigError: an axis names what is not there, or is empty; two points get one run id.
        """
        expanded, points = expand(self.axes, sections)
        made: list[Network] = []
        for setting, surrogates in self._networks(points, networks):
            dataset, model = setting
            names = tuple(point.id for point in surrogates)
            made.append(Network(dataset=dataset.id, model=model.id, surrogates=names))
        return expanded, tuple(made)

    def places(self, sections: Mapping[str, Written], networks: Sequence[Network]) -> list[Setting]:
        """Return every surrogate on every network: its run ids, and where it stands in the grid."""
        _, points = expand(self.axes, sections)
        return [
            Setting.of(*network, surrogate)
            for network, surrogates in self._networks(points, networks)
            for surrogate in surrogates
        ]

    def check(self, config: Any) -> None:
        """Check that there is something to compare, and that no two settings have one place of the figure.

        Raises:
            ConfigError: names the key, or both settings.
        """
        self._check_shown()
        grid = self.places(config.written_sections, config.written_networks)
        check_places(self, grid)

    def _networks(
        self, points: Points, networks: Sequence[Network]
    ) -> list[tuple[tuple[Point, Point], list[Point]]]:
        """Return every dataset and model with the surrogates that are fitted to it."""
        found = []
        for number, network in enumerate(networks):
            datasets = _points(points, number, "dataset", network.dataset)
            models = _points(points, number, "model", network.model)
            fitted: list[Point] = []
            for name in network.surrogates:
                fitted += _points(points, number, "surrogate", name)

            found += [(pair, fitted) for pair in product(datasets, models)]
        return found

    def _check_shown(self) -> None:
        known = [*PLACES, *(axis.name for axis in self.axes)]
        for key, name in (("x", self.x), ("hue", self.hue)):
            if name is not None and name not in known:
                raise unknown(f"grid.{key}", "axis", name, known)
        on_x = [value for axis in self.axes if axis.name == self.x for value in axis.values]
        if self.log and not (on_x and all(is_number(value) and float(value) > 0 for value in on_x)):  # type: ignore[arg-type]
            raise ConfigError(
                f"grid.log: needs positive numbers along x, got {self.x!r} with {on_x or 'no values'}."
            )


def _points(points: Points, number: int, kind: str, entry: str) -> list[Point]:
    """Return the points of an entry that a network names."""
    known = points[f"{kind}s"]
    if entry not in known:
        raise unknown(f"networks.{number}.{kind}", f"run id of a {kind}", entry, known)
    return known[entry]


def check_places(study: Grid, grid: Sequence[Setting]) -> None:
    """Check that there is something to compare, and that no two settings stand at one place of the figure.

    Raises:
        ConfigError: names both.
    """
    if not grid:
        raise ConfigError(
            "networks: a study compares surrogates with networks; name a surrogate for at least one."
        )
    seen: dict[tuple[Any, ...], Setting] = {}
    for setting in grid:
        labels = setting.labels
        place = (
            labels["dataset"],
            labels["model"],
            labels.get(study.x),
            labels.get(study.hue or study.x),
        )
        other = seen.setdefault(place, setting)
        if other is not setting:
            both = [f"{one.dataset}/{one.model}/{one.surrogate}" for one in (other, setting)]
            raise ConfigError(
                f"grid.hue: {' and '.join(both)} would stand at the same place of the figure; "
                f"let x ({study.x!r}) and hue ({study.hue!r}) tell them apart."
            )

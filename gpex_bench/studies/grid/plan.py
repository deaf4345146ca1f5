"""The section `grid` of a config: a question, the settings to compare, and how to show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal

from gpex_bench.config.resolve import ConfigError, unknown
from gpex_bench.config.schema import Network
from gpex_bench.studies.grid.expansion import (
    PLACES,
    Axis,
    Point,
    Points,
    Setting,
    Written,
    expand,
    is_number,
)
from gpex_bench.types import Study, demands, settings


@settings
class Grid(Study):
    """A question, the grid of settings that answers it, and how the answer is shown."""

    reference = "akbarnejad2023gpex"

    question: str
    axes: tuple[Axis, ...] = ()
    # an axis, or dataset, model or surrogate
    x: str
    hue: str | None = None
    # whether the scale of x is logarithmic
    log: bool = False
    # statistics of agreement, or fit_seconds; the first one is compared
    statistics: tuple[str, ...]
    splits: tuple[str, ...] = ("test",)
    # direction of the first statistic
    better: Literal["higher", "lower"] = "higher"
    # the smallest difference of the first statistic that matters, in its own units
    margin: float = 0.01

    def __post_init__(self) -> None:
        """Refuse a grid that shows nothing."""
        for name in ("statistics", "splits"):
            if not getattr(self, name):
                raise ValueError(f"{name} must hold at least 1 name, got none.")
        demands.positive(self, "margin")

    def expand(
        self, sections: Mapping[str, Written], networks: Sequence[Network]
    ) -> tuple[dict[str, Written], tuple[Network, ...]]:
        """Return the sections and networks with the grid in place of the entries that it varies.

        Raises:
            ConfigError: an axis names what is not there, or is empty; two points get one run id.
        """
        expanded, points = expand(self.axes, sections)

        made: list[Network] = []
        for (dataset, model), surrogates in _networks(points, networks):
            names = tuple(point.id for point in surrogates)
            made.append(Network(dataset=dataset.id, model=model.id, surrogates=names))
        return expanded, tuple(made)

    def places(self, sections: Mapping[str, Written], networks: Sequence[Network]) -> list[Setting]:
        """Return every surrogate on every network: its run ids, and its place in the grid."""
        _, points = expand(self.axes, sections)
        return [
            Setting.of(*network, surrogate)
            for network, surrogates in _networks(points, networks)
            for surrogate in surrogates
        ]

    def check(self, config: Any) -> None:
        """Check that there is something to compare, at distinct places of the figure.

        Raises:
            ConfigError: names the key, or both settings.
        """
        self._check_shown()
        grid = self.places(config.written_sections, config.written_networks)
        check_places(self, grid)

    def _check_shown(self) -> None:
        """Check that x and hue are axes, and that a logarithmic x holds positive numbers."""
        known = [*PLACES, *(axis.name for axis in self.axes)]
        for key, name in (("x", self.x), ("hue", self.hue)):
            if name is not None and name not in known:
                raise unknown(f"grid.{key}", "axis", name, known)

        if not self.log:
            return
        on_x: list[Any] = [
            value for axis in self.axes if axis.name == self.x for value in axis.values
        ]
        if not on_x or not all(is_number(value) and value > 0 for value in on_x):
            raise ConfigError(
                f"grid.log: needs positive numbers along x, got {self.x!r} with "
                f"{on_x or 'no values'}."
            )


def _networks(
    points: Points, networks: Sequence[Network]
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


def _points(points: Points, number: int, kind: str, entry: str) -> list[Point]:
    """Return the points of an entry that a network names."""
    known = points[f"{kind}s"]
    if entry not in known:
        where = f"networks.{number}.{kind}"
        raise unknown(where, f"run id of a {kind}", entry, known)
    return known[entry]


def check_places(plan: Grid, grid: Sequence[Setting]) -> None:
    """Check that there are settings, at distinct places of the figure.

    Raises:
        ConfigError: names both settings.
    """
    if not grid:
        raise ConfigError(
            "networks: a grid compares surrogates with networks; name a surrogate for at least one."
        )

    seen: dict[tuple[Any, ...], Setting] = {}
    for setting in grid:
        labels = setting.labels
        x, hue = labels.get(plan.x), labels.get(plan.hue or plan.x)
        other = seen.setdefault((labels["dataset"], labels["model"], x, hue), setting)
        if other is not setting:
            raise ConfigError(
                f"grid.hue: {other.id} and {setting.id} would have the same place in the figure; "
                f"choose x (now {plan.x!r}) and hue (now {plan.hue!r}) so that they differ."
            )

"""A call as a function of its signals alone, for any number of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor, fx

from gpex_bench.models.rewriting.generalising import Repeated, Rows
from gpex_bench.models.rewriting.recorded import Path


class Slot(NamedTuple):
    """Where a signal goes."""

    number: int


class RowSource(NamedTuple):
    """Where the number of rows is read: an axis of a signal."""

    signal: int
    axis: int
    times: int


class Filled:
    """A function whose arguments are filled in, but for its signals."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: Any,
        kwargs: Any,
        signals: Sequence[fx.Node],
        path: Path = (),
    ) -> None:
        """Take arguments with nodes in the places of signals; `path` leads to a piece."""
        self.function = function
        slots = {node: Slot(number) for number, node in enumerate(signals)}
        self.args = _template(args, slots)
        self.kwargs = _template(kwargs, slots)
        self.path = path

        sources = [row_source(node, number) for number, node in enumerate(signals)]
        self.rows = next(filter(None, sources))

    def __call__(self, *signals: Tensor) -> Any:
        """Return what the function makes of the signals."""
        source = self.rows
        n_rows = signals[source.signal].shape[source.axis] // source.times
        args = _fill(self.args, signals, n_rows)
        kwargs = _fill(self.kwargs, signals, n_rows)
        value = self.function(*args, **kwargs)
        for number in self.path:
            value = value[number]
        return value


def row_source(node: fx.Node, number: int = 0) -> RowSource | None:
    """Return where a signal shows the number of rows, if it does."""
    for axis, size in enumerate(node.meta["shape"]):
        if isinstance(size, Rows):
            return RowSource(number, axis, size.times)
    return None


def _template(value: Any, slots: dict[fx.Node, Slot]) -> Any:
    if isinstance(value, fx.Node):
        return slots[value]
    return _mapped(value, lambda item: _template(item, slots))


def _fill(value: Any, signals: Sequence[Tensor], n_rows: int) -> Any:
    if isinstance(value, Slot):
        return signals[value.number]
    if isinstance(value, Rows):
        return value.times * n_rows
    if isinstance(value, Repeated):
        shape = [-1] * value.row.ndim
        shape[value.axis] = value.times * n_rows
        # in memory of its own: some functions (LSTMs) read beyond the end of an expanded tensor
        return value.row.expand(shape).contiguous()
    return _mapped(value, lambda item: _fill(item, signals, n_rows))


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a container with its items changed; anything else as it is."""
    if isinstance(value, (Rows, Repeated)):
        return value
    if isinstance(value, dict):
        return {key: change(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(change(item) for item in value)
    if isinstance(value, slice):
        return slice(change(value.start), change(value.stop), change(value.step))
    return value

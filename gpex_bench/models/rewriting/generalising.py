"""What two recordings, of 2 and of 3 rows, have in common: the network, for any number of rows.

A whole number that is a multiple of the number of rows in both becomes `Rows`; a constant whose
rows are all the same becomes one row, `Repeated`. Anything else that differs was read from the
rows' values, drawn at random, or made of their number, and cannot be followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor

from gpex_bench.models.rewriting.errors import CannotRewrite
from gpex_bench.models.rewriting.recorded import Call, Path, Recording, Signal


class Rows(NamedTuple):
    """So many times the number of rows."""

    times: int


Shape = tuple[int | Rows, ...]


class Repeated(NamedTuple):
    """A constant of one row, which is repeated for each row."""

    row: Tensor
    axis: int
    times: int  # so many for each row


class Step(NamedTuple):
    """A call for any number of rows: its arguments have Signals and Rows in them."""

    call: Call
    args: Any
    kwargs: dict[str, Any]
    shapes: dict[Path, Shape]

    def shape(self, path: Path = ()) -> Shape:
        """Return the shape of what it made."""
        return self.shapes[path]


class Differs(Exception):
    """Two recordings differ; says how."""


def generalise(first: Recording, second: Recording) -> list[Step]:
    """Return the steps that both recordings took.

    Raises:
        CannotRewrite: they differ.
    """
    common = _Common(first.n_rows, second.n_rows)
    steps = []
    place = "the network"
    try:
        for one, other in zip(first.calls, second.calls, strict=False):
            place = f"{one.name!r} in {one.place}"
            common.check_same((one.name, one.place), (other.name, other.place))
            args = common.value(one.args, other.args)
            kwargs = common.value(one.kwargs, other.kwargs)
            shapes = common.shapes(one.shapes, other.shapes)
            steps.append(Step(one, args, kwargs, shapes))
        common.check_same(len(first.calls), len(second.calls))
        common.check_same(first.result, second.result)
    except Differs as error:
        raise CannotRewrite(_reason(place, str(error), first)) from error
    return steps


def _reason(place: str, difference: str, recording: Recording) -> str:
    """Return why two recordings differ."""
    why = (
        "it depends on the number of rows, changes from call to call, or is made by something that "
        "torch does not show (TorchScript, numpy)"
    )
    if recording.values_read:
        why = f"values of the input are read by {recording.values_read[0]}"
    elif recording.drawn:
        why = f"random numbers are drawn by {recording.drawn[0]}"
    return f"What the network does cannot be followed at {place}: {why} ({difference})."


class _Common:
    """What arguments of two calls have in common."""

    def __init__(self, n_first: int, n_second: int) -> None:
        self.n_first = n_first
        self.n_second = n_second

    def check_same(self, one: Any, other: Any) -> None:
        if one != other:
            raise Differs(f"once {one}, once {other}")

    def value(self, one: Any, other: Any) -> Any:
        """Return one argument for two."""
        if isinstance(one, Signal):
            self.check_same(one, other)
            return one
        self.check_same(type(one), type(other))
        if isinstance(one, Tensor):
            return self._constant(one, other)
        if isinstance(one, dict):
            self.check_same(list(one), list(other))
            return {key: self.value(item, other[key]) for key, item in one.items()}
        if isinstance(one, (tuple, list)):
            self.check_same(len(one), len(other))
            return tuple(self.value(a, b) for a, b in zip(one, other, strict=True))
        if isinstance(one, slice):
            parts = [self.value(getattr(one, part), getattr(other, part)) for part in _SLICE]
            return slice(*parts)
        if type(one) is int and one != other:
            return self._rows(one, other)
        is_nan = isinstance(one, float) and one != one and other != other
        if not is_nan:
            self.check_same(one, other)
        return one

    def shapes(self, one: Any, other: Any) -> dict[Path, Shape]:
        """Return the shapes of what two calls made."""
        self.check_same(list(one), list(other))
        return {path: self.value(shape, other[path]) for path, shape in one.items()}

    def _rows(self, one: int, other: int) -> Rows:
        times = one // self.n_first
        if one != times * self.n_first or other != times * self.n_second:
            raise Differs(f"{one} of {self.n_first} rows, {other} of {self.n_second}")
        return Rows(times)

    def _constant(self, one: Tensor, other: Tensor) -> Tensor | Repeated:
        if one is other:
            return one
        first = one.detach()
        second = other.detach()
        self.check_same((first.ndim, first.dtype), (second.ndim, second.dtype))
        pairs = zip(first.shape, second.shape, strict=True)
        axes = [axis for axis, (size, other_size) in enumerate(pairs) if size != other_size]
        if len(axes) > 1:
            raise Differs(f"a constant has the shapes {first.shape} and {second.shape}")

        times = 0
        for axis in axes:
            times = self._rows(first.shape[axis], second.shape[axis]).times
            first = _row(first, axis)
            second = _row(second, axis)
        is_same = (first == second) | ((first != first) & (second != second))
        if not bool(is_same.all()):
            raise Differs("a constant has other values")
        return Repeated(first, axes[0], times) if axes else first


_SLICE = ("start", "stop", "step")


def _row(constant: Tensor, axis: int) -> Tensor:
    """Return the one row of a constant, all of whose rows along an axis are the same."""
    row = constant.narrow(axis, 0, 1)
    if not bool((constant == row).all()):
        raise Differs("a constant has another row for each sample")
    return row


def signals_in(value: Any) -> Iterator[Signal]:
    """Yield the signals in arguments, in order."""
    if isinstance(value, Signal):
        yield value
    elif isinstance(value, dict):
        yield from signals_in(tuple(value.values()))
    elif isinstance(value, (tuple, list)) and not isinstance(value, (Rows, Repeated)):
        for item in value:
            yield from signals_in(item)
    elif isinstance(value, slice):
        yield from signals_in((value.start, value.stop, value.step))

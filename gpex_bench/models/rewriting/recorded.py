"""What a recording holds: the calls of functions that saw the input, or what was made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

Path = tuple[int, ...]


class Place(NamedTuple):
    """The module that runs."""

    path: str  # as in named_modules(); empty: the network itself
    kind: str  # its type's name

    def __str__(self) -> str:
        return f"{self.path} ({self.kind})" if self.path else f"the network ({self.kind})"


class Signal(NamedTuple):
    """What a call made: all of it, or the piece of a tuple that the path leads to."""

    call: int  # 0: the input
    path: Path = ()


@dataclass
class Call:
    """A call of a function that saw a signal."""

    function: Callable[..., Any]
    name: str
    args: Any  # with a Signal in the place of each
    kwargs: dict[str, Any]
    place: Place
    # of what it made
    shapes: dict[Path, tuple[int, ...]] = field(default_factory=dict)
    dtypes: dict[Path, torch.dtype] = field(default_factory=dict)


class Known(NamedTuple):
    """A tensor that is a signal, and its version when it became that."""

    tensor: Tensor
    signal: Signal
    version: int


class Part(NamedTuple):
    """Where a part of a tensor was taken from."""

    base: Tensor
    index: Any
    version: int


@dataclass
class Recording:
    """What a network did with some rows."""

    n_rows: int
    calls: list[Call] = field(default_factory=list)
    result: Signal = Signal(0)
    y: Tensor = field(default_factory=lambda: torch.zeros(0))
    made: dict[str, Signal] = field(default_factory=dict)  # what each module gave, by its name
    values_read: list[str] = field(default_factory=list)  # where values became Python's
    drawn: list[str] = field(default_factory=list)  # where random numbers were drawn
    # the constants that were read, and their versions then
    constants: list[tuple[Tensor, int]] = field(default_factory=list)

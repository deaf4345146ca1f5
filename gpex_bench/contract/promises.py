"""The exception for a broken promise, and the promises that all kinds of plug-ins share."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from gpex_bench.types.values import key_of

# A row alone and in a batch may differ by this share of its largest value: other kernels, other
# sums.
ROWS = 1e-4


class BrokenPromise(Exception):
    """A plug-in did what the contract forbids.

    The message names the promise, what came and what to do.
    """

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"broke the promise '{promise}': {what}")
        self.promise = promise


class NeedsSettings(BrokenPromise):
    """A plug-in has settings without a default, such as a file: it is checked with a config's."""

    def __init__(self, cls: type, names: Sequence[str]) -> None:
        listed = ", ".join(names)
        Exception.__init__(
            self,
            f"{cls.__name__} has no default for {listed}, so it is checked with the settings of a "
            "config: gpex-bench check RUN_ID --config FILE",
        )
        self.promise = "defaults"


def require(kept: bool, promise: str, what: str) -> None:
    """Raise BrokenPromise unless the promise was kept."""
    if not kept:
        raise BrokenPromise(promise, what)


@contextmanager
def works(where: str) -> Iterator[None]:
    """Turn a crash on a tiny task into a broken promise."""
    try:
        yield
    except BrokenPromise:
        raise
    except Exception as error:
        what = f"{type(error).__name__} on {where}: {error}"
        raise BrokenPromise("works on tiny tasks", what) from error


def require_settings(cls: type) -> None:
    """Raise BrokenPromise unless a class is a set of hyperparameters."""
    what = f"{cls.__name__} must be decorated with @settings."
    require(dataclasses.is_dataclass(cls), "settings", what)


def require_tensor(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Raise BrokenPromise unless a tensor has this shape, is float32 and finite."""
    got = tuple(tensor.shape)
    what = f"{name} must have shape {shape}, got {got}."
    require(got == shape, "shape", what)

    what = f"{name} must be torch.float32, got {tensor.dtype}."
    require(tensor.dtype == torch.float32, "dtype", what)

    is_finite = bool(tensor.isfinite().all())
    what = f"some entries of {name} are NaN or infinite."
    require(is_finite, "finite values", what)


def same_state(one: nn.Module, other: nn.Module) -> bool:
    """Return whether two modules have the same weights and buffers, bit for bit."""
    first, second = one.state_dict(), other.state_dict()
    if first.keys() != second.keys():
        return False
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def with_defaults(
    cls: type,
    wrapped: type | None = None,
    example: Callable[[], Any] | None = None,
    given: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Return a plug-in with its default settings.

    Args:
        cls: its class.
        wrapped: the type of a setting that needs no default, because `example` makes one.
        example: makes the value of such a setting.
        given: settings that need no default, by name.

    Raises:
        NeedsSettings: if another setting has no default.
    """
    require_settings(cls)
    hints = typing.get_type_hints(cls)
    passed = dict(given)
    for field in dataclasses.fields(cls):
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        if has_default or field.name in passed:
            continue
        if example is None:
            raise NeedsSettings(cls, [key_of(field)])
        what = f"the setting {field.name!r} of {cls.__name__} needs a default value."
        require(hints[field.name] is wrapped, "defaults", what)
        passed[field.name] = example()
    return cls(**passed)

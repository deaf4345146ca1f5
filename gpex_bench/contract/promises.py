"""What a broken promise is, and the promises that all kinds of plug-ins share."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING
from typing import Any

# A row alone and in a batch may differ by this share of its largest value: other kernels, other sums.
ROWS = 1e-4


class BrokenPromise(Exception):
    """A plug-in did what the contract forbids; the message names the promise, what came and what to do."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"broke the promise '{promise}': {what}")
        self.promise = promise


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


def with_defaults(
    cls: type, wrapped: type | None = None, example: Callable[[], Any] | None = None
) -> Any:
    """Return a plug-in with its default settings.

    Args:
        cls: its class.
        wrapped: the type of a setting that needs no default, because `example` makes one.
        example: makes the value of such a setting.

    Raises:
        BrokenPromise: if another setting has no default.
    """
    require_settings(cls)
    hints = typing.get_type_hints(cls)
    passed = {}
    for field in dataclasses.fields(cls):
        if field.default is not MISSING or field.default_factory is not MISSING:
            continue
        what = f"the setting {field.name!r} of {cls.__name__} needs a default value."
        require(example is not None and hints[field.name] is wrapped, "defaults", what)
        passed[field.name] = example() if example else None
    return cls(**passed)

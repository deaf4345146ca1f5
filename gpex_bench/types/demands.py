"""Checks of settings and of stored states, with messages that name the parameter and what to do.

The checks of settings take any object with fields: a recipe, an architecture, an explainer, a plan.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor, nn

from gpex_bench.types.values import Dataset, Need, Split

M = TypeVar("M", bound=nn.Module)


class Refused(ValueError):
    """A method, a metric or a surrogate does not apply to this network or dataset.

    No fault of either: the cell reads "n/a", with the message as its reason. The message names
    what does not fit and where (the module, the operation, the setting), and what to do.
    """


class UnusableCheckpoint(ValueError):
    """The checkpoint of an unfinished fit cannot be resumed.

    This is no result of the fit itself.
    """


class ForeignCheckpoint(UnusableCheckpoint):
    """The checkpoint belongs to another fit: other settings, network, seed or data."""


class DamagedCheckpoint(UnusableCheckpoint):
    """The checkpoint is not what was written, or lacks a part."""


# --- settings ---


def at_least(owner: object, least: int | float, *names: str) -> None:
    """Raise ValueError for a setting of `owner` that is below `least`, or not finite."""
    for name in names:
        setting = getattr(owner, name)
        if not setting >= least:
            raise ValueError(f"{name} must be at least {least}, got {setting!r}.")
        if not math.isfinite(setting):
            raise ValueError(f"{name} must be finite, got {setting!r}.")


def positive(owner: object, *names: str) -> None:
    """Raise ValueError for a setting of `owner` that is not positive and finite."""
    for name in names:
        setting = getattr(owner, name)
        if not 0 < setting < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {setting!r}.")


def share(owner: object, *names: str) -> None:
    """Raise ValueError for a setting of `owner` that is not in [0, 1]."""
    for name in names:
        setting = getattr(owner, name)
        if not 0 <= setting <= 1:
            raise ValueError(f"{name} must be a share in [0, 1], got {setting!r}.")


def one_of(owner: object, **choices: Collection[object]) -> None:
    """Raise ValueError for a setting of `owner` that is none of its choices."""
    for name, known in choices.items():
        setting = getattr(owner, name)
        if setting not in known:
            listed = ", ".join(map(repr, known))
            raise ValueError(f"{name} must be one of {listed}, got {setting!r}.")


def distinct(what: str, names: Collection[str]) -> None:
    """Raise ValueError if a name is there twice.

    Args:
        what: the names are, for messages.
        names: in any order.
    """
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(f"{what} must differ, and {', '.join(repeated)} are there twice.")


# --- data, networks and stored states ---


def training(data: Dataset, who: str) -> Split:
    """Return the training samples of a dataset; raises Refused where there are none.

    For what looks at them with some settings or forms of input only; what always does declares
    `Need.TRAINING`.

    Args:
        data: a user who explains a network may have brought no training samples.
        who: what looks at them, and how it can be done without, if it can.
    """
    if not len(data.train.x):
        raise Refused(f"needs {Need.TRAINING}, and none were given (data=): {who}.")
    return data.train


def has_heads(y: Float[Tensor, "n head"]) -> None:
    """Raise ValueError for the outputs of a network without heads."""
    if y.shape[1] < 1:
        raise ValueError(
            "y must have at least 1 head, got 0; a network without outputs has nothing to explain."
        )


def loaded(module: M, state: Mapping[str, Tensor], owner: object) -> M:
    """Return the module with this state, in eval mode and without gradients.

    Raises:
        ValueError: the state is not one of this module; `owner` is named.
    """
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:
        raise foreign(owner, error) from error
    return module.requires_grad_(False).eval()


def entry(state: Mapping[str, Tensor], name: str, owner: object) -> Tensor:
    """Return an entry of a state; raises ValueError where it is missing."""
    if name not in state:
        raise foreign(owner, f"it has no {name!r}")
    return state[name]


def foreign(owner: object, reason: object) -> ValueError:
    """Return the error of a state that belongs to another network, dataset or recipe."""
    return ValueError(f"This is not the state of {owner}: {reason}.")

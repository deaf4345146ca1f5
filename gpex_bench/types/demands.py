"""What recipes demand of their settings and of stored states, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class UnusableCheckpoint(ValueError):
    """The checkpoint of an unfinished fit cannot be resumed; this is no result of the fit itself."""


class ForeignCheckpoint(UnusableCheckpoint):
    """The checkpoint belongs to another fit: other settings, network, seed or data."""


class DamagedCheckpoint(UnusableCheckpoint):
    """The checkpoint is not what was written, or lacks a part."""


def at_least(recipe: object, least: int, *names: str) -> None:
    """Raise ValueError for a setting below `least`."""
    for name in names:
        setting = getattr(recipe, name)
        if not setting >= least:
            raise ValueError(f"{name} must be at least {least}, got {setting!r}.")


def positive(recipe: object, *names: str) -> None:
    """Raise ValueError for a setting that is not positive and finite."""
    for name in names:
        setting = getattr(recipe, name)
        if not 0 < setting < float("inf"):
            raise ValueError(f"{name} must be positive and finite, got {setting!r}.")


def one_of(recipe: object, **choices: tuple[str, ...]) -> None:
    """Raise ValueError for a setting that is none of its choices."""
    for name, known in choices.items():
        setting = getattr(recipe, name)
        if setting not in known:
            raise ValueError(
                f"{name} must be one of {', '.join(map(repr, known))}, got {setting!r}."
            )


def has_heads(y: Float[Tensor, "n head"]) -> None:
    """Raise ValueError for the outputs of a network without heads."""
    if y.shape[1] < 1:
        raise ValueError(
            "y must have at least 1 head, got 0; a network without outputs has nothing to explain."
        )


def loaded(module: M, state: Mapping[str, Tensor], recipe: object) -> M:
    """Return a module with this state, in eval mode and without gradients.

    Raises:
        ValueError: the state is not one of this module.
    """
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:
        raise foreign(recipe, error) from error
    return module.requires_grad_(False).eval()


def entry(state: Mapping[str, Tensor], name: str, recipe: object) -> Tensor:
    """Return an entry of a state; raises ValueError where it lacks."""
    if name not in state:
        raise foreign(recipe, f"it has no {name!r}")
    return state[name]


def foreign(recipe: object, reason: object) -> ValueError:
    """Return the error of a state that belongs to another network, dataset or recipe."""
    return ValueError(f"This is not the state of {recipe}: {reason}.")

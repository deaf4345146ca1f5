"""The last feature maps of a network: where its trunk ends.

A map is [sample, channel, row, column] with more than one place. The last one that a module gives
(no pooling by itself) is the trunk's output, if the image reaches the outputs through it alone, and
no layer with weights sees places after it, as those of a transformer do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gpex_bench.models.given.errors import CannotWrap
from gpex_bench.models.given.probing import Made, Probe
from gpex_bench.models.given.wrapped import Wrapped, changed
from gpex_bench.models.rewriting.surroundings import restored

N_LISTED = 12  # names in a message
NO_MAPS = "no module gives [sample, channel, row, column] with more than one place"


@dataclass(frozen=True)
class Maps:
    """The module that gives the last feature maps, or why there is none."""

    name: str
    shape: tuple[int, ...] = ()
    unread: tuple[str, ...] = ()  # modules without parts that run after it alone
    reason: str = ""
    notes: tuple[str, ...] = ()


def find_maps(model: Wrapped, probe: Probe) -> Maps:
    """Return the last feature maps of a wrapped network."""
    if probe.x.ndim != 4:
        return Maps("")
    found = _outermost(probe)
    if not found:
        return Maps("", reason=NO_MAPS)

    last = found[-1]
    living_on = _living_on(probe, last, model.head)
    if living_on:
        reason = f"the places of {last.name} live on in {living_on}, as those of tokens do"
        return Maps("", reason=reason)
    if _is_bypassed(model, probe, last.name):
        reason = f"the outputs depend on the image past the last ones, {last.name}"
        return Maps("", reason=reason)
    return Maps(last.name, last.shape[1:], _after(probe, last))


def chosen_maps(model: Wrapped, probe: Probe, name: str) -> Maps:
    """Return the feature maps of the module of this name.

    Raises:
        CannotWrap: there is no such module, or it gives no maps.
    """
    made = {one.name: one for one in probe.modules if _is_map(one, probe.n_rows)}
    if name not in made:
        known = ", ".join(one.name for one in _outermost(probe)[-N_LISTED:]) or "none"
        raise CannotWrap(
            "features must name a module that gives maps [sample, channel, row, column], got "
            f"{name!r}. Known: {known}."
        )
    notes: tuple[str, ...] = ()
    if _is_bypassed(model, probe, name):
        notes = (f"the outputs also depend on the image past the maps of {name}",)
    return Maps(name, made[name].shape[1:], _after(probe, made[name]), notes=notes)


def _is_map(made: Made, n_rows: int) -> bool:
    has_axes = len(made.shape) == 4 and made.shape[0] == n_rows
    return has_axes and made.shape[2] * made.shape[3] > 1 and bool(made.name)


def _outermost(probe: Probe) -> list[Made]:
    """Return the modules that give maps, the outermost of those that give the same one."""
    by_map: dict[Any, Made] = {}
    for made in probe.modules:  # what holds a module ends after it
        if _is_map(made, probe.n_rows):
            key = (id(made.tensor), id(made.node))
            by_map.pop(key, None)
            by_map[key] = made
    return [made for made in by_map.values() if not _is_pooling(made)]


def _is_pooling(made: Made) -> bool:
    """Return whether a module pools, and has no parts."""
    is_leaf = made.kind is not None and not any(made.kind.children())
    return is_leaf and "Pool" in type(made.kind).__name__


def _living_on(probe: Probe, last: Made, head: nn.Linear) -> str:
    """Return the first layer with weights that sees several places after the last maps."""
    after = probe.modules[probe.modules.index(last) + 1 :]
    for made in after:
        has_weights = made.kind is not None and any(
            True for _ in made.kind.parameters(recurse=False)
        )
        if not has_weights or made.kind is head or made.read is None:
            continue
        if made.read[0, 0].numel() > 1:
            return f"{made.name} ({type(made.kind).__name__})"
    return ""


def _is_bypassed(model: Wrapped, probe: Probe, name: str) -> bool:
    """Return whether the embedding depends on the image past the maps of a module."""
    module = model.network.get_submodule(name)
    detached = changed(module, last_run(probe, name), Tensor.detach)
    with torch.enable_grad(), restored(model), torch.random.fork_rng(devices=[]), detached:
        return model.embedded(probe.x).requires_grad


def last_run(probe: Probe, name: str) -> int:
    """Return how often a module ran."""
    return sum(made.name == name for made in probe.modules)


def _after(probe: Probe, last: Made) -> tuple[str, ...]:
    """Return the modules without parts that run only after the last maps."""
    place = probe.modules.index(last)
    before = {made.name for made in probe.modules[: place + 1]}
    return tuple(
        made.name
        for made in probe.modules[place + 1 :]
        if made.name not in before and made.kind is not None and not any(made.kind.children())
    )

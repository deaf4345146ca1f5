"""The graph of a rewritten network, grown step by step."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from gpex_bench.models.rewriting.errors import CannotRewrite
from gpex_bench.models.rewriting.generalising import Repeated, Rows, Step, signals_in
from gpex_bench.models.rewriting.recorded import Path, Signal
from gpex_bench.models.rewriting.site import TRANSLATIONS, NotKnown, Site, Translation

# arguments of torch that have two names, and those that are no part of what is computed
RENAMED = {"axis": "dim", "keepdims": "keepdim", "self": "input"}
# of arguments that a translation did not foresee
UNEXPECTED = (TypeError, ValueError, RuntimeError, AttributeError, IndexError)
IGNORED = frozenset({"inplace", "out"})


class Builder:
    """A graph that grows."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.graph = fx.Graph()
        self.attributes: dict[str, Any] = {}
        self.nodes: dict[Signal, fx.Node] = {}
        self.copies: dict[int, tuple[Tensor, Tensor]] = {}  # of weights: the original, its copy

    def build(self, steps: list[Step], result: Signal) -> fx.Graph:
        """Build the graph of the steps that lead to a result."""
        needed = _needed(steps, result)
        self._begin(steps[0])

        for number, step in enumerate(steps[1:], 1):
            for path in step.shapes:
                signal = Signal(number, path)
                if signal in needed:
                    self.nodes[signal] = self._translate(step, path)

        self.graph.output(self.nodes[result])
        self._drop_unread()
        return self.graph

    def _drop_unread(self) -> None:
        """Drop what was added in vain (a stack whose parts are added)."""
        for node in reversed(list(self.graph.nodes)):
            if not node.users and node.op in ("call_module", "get_attr"):
                self.graph.erase_node(node)
                del self.attributes[node.target]

    def _begin(self, step: Step) -> None:
        node = self.graph.placeholder("x")
        node.meta.update(place=step.call.place, shape=step.shape(), name="input")
        self.nodes[Signal(0)] = node

    def _translate(self, step: Step, path: Path) -> fx.Node:
        site = Site(self, step, path)
        args = self._filled(step.args)
        kwargs = self._filled(step.kwargs)
        named = {RENAMED.get(key, key): item for key, item in kwargs.items()}
        known = {key: item for key, item in named.items() if key not in IGNORED}

        translation = TRANSLATIONS.get(site.name)
        if translation is None or not _binds(translation, site, args, known):
            return site.other(args, kwargs)
        try:
            return translation(site, *args, **known)
        except CannotRewrite:
            raise
        except (NotKnown, *UNEXPECTED):
            return site.other(args, kwargs)

    def _filled(self, value: Any) -> Any:
        """Return arguments with nodes for signals."""
        if isinstance(value, Signal):
            return self.nodes[value]
        if isinstance(value, (Rows, Repeated)):
            return value
        if isinstance(value, dict):
            return {key: self._filled(item) for key, item in value.items()}
        if isinstance(value, tuple):
            return tuple(self._filled(item) for item in value)
        if isinstance(value, slice):
            return slice(*map(self._filled, (value.start, value.stop, value.step)))
        return value

    def copied(self, tensor: Tensor) -> Tensor:
        """Return a copy of a constant: the same one for the same tensor."""
        if id(tensor) not in self.copies:
            self.copies[id(tensor)] = tensor, tensor.detach().clone()
        return self.copies[id(tensor)][1]

    def name_for(self, wish: str) -> str:
        """Return a name that no attribute has."""
        stem = re.sub(r"\W", "_", wish)
        if keyword.iskeyword(stem) or stem == "self":
            stem += "_"

        name = stem
        number = 1
        while name in self.attributes or hasattr(_EMPTY, name):
            number += 1
            name = f"{stem}_{number}"
        return name


_EMPTY = fx.GraphModule(nn.Module(), fx.Graph())


def _needed(steps: Sequence[Step], result: Signal) -> set[Signal]:
    """Return the signals on which the result depends."""
    needed = {result}
    for number in reversed(range(len(steps))):
        step = steps[number]
        if any(Signal(number, path) in needed for path in step.shapes):
            needed.update(signals_in((step.args, step.kwargs)))
    return needed


def _binds(translation: Translation, site: Site, args: Any, kwargs: Any) -> bool:
    """Return whether a translation takes these arguments."""
    try:
        inspect.signature(translation).bind(site, *args, **kwargs)
    except TypeError:
        return False
    return True

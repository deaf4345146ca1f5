"""Which feature maps of a network methods read, and how these are recorded.

A feature map is a signal [batch, channel, row, column] of more than one place, after at least one
layer with weights: the output of a layer, an addition, a concatenation, an activation. Each is the
output of a module of the rewritten network. Poolings are left out, because their maps have lost
resolution.

The trunk's output is the last of them. It is taken only where it can be shown to be that: the image
reaches the logits through it alone, and after it places only come together. Where places live on,
as tokens of a transformer or in a layer for each of them, there is no such map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from gpex_bench.families.signals import Signals
from gpex_bench.models.given.wrapped import Wrapped, name_inside
from gpex_bench.models.rewriting import CannotRewrite, Rewritten, place, rewrite
from gpex_bench.types import value
from gpex_bench.types.demands import Refused

FEATURES = "features"  # what a module is called whose maps are meant, of several branches
CHOOSE = "set `layer` to the name of a module that gives maps [batch, channel, row, column]"


@value
class Maps:
    """What is known of a network's feature maps; modules are those of the rewritten network.

    Attributes:
        last_of_size: modules that give the last maps at each resolution, from shallow to deep.
        last: the module that gives the last maps; empty: there are none.
        place: where that is in the network.
        is_bypassed: whether the logits also depend on the image past the last maps.
        living_on: what reads single places of the last maps, as tokens; empty where nothing does.
        is_from_features: whether a module `features` gives the maps of one of several branches.
    """

    last_of_size: tuple[str, ...]
    last: str
    place: str
    is_bypassed: bool
    living_on: str
    is_from_features: bool

    def require_trunk(self) -> str:
        """Return the module of the last maps; raises Refused if they are not the trunk's output."""
        self.require_maps()
        if self.is_bypassed:
            raise Refused(
                f"The last feature maps are those of {self.place}, but the logits also depend on "
                f"the image past them; {CHOOSE}."
            )
        return self.last

    def require_maps(self) -> None:
        """Raise Refused if there are no maps, or if what is after them has places too."""
        if not self.last:
            raise Refused("The network has no feature maps of more than one place.")
        if self.living_on:
            raise Refused(
                f"The last feature maps are those of {self.place}, but their places live on after "
                f"them, as tokens do ({self.living_on}); {CHOOSE}."
            )


# by the rewritten network, and the shape of an image
_KNOWN: WeakKeyDictionary[nn.Module, dict[torch.Size, Maps]] = WeakKeyDictionary()


def feature_maps(network: nn.Module, rewritten: Rewritten, x: Tensor) -> Maps:
    """Return what is known of a network's feature maps; one image runs through it, once."""
    known = _KNOWN.setdefault(rewritten.network, {})
    size = x.shape[1:]
    if size not in known:
        signals = Signals(rewritten, x)
        known[size] = _find(signals, _features(network, rewritten, signals))
    return known[size]


def _find(signals: Signals, features: fx.Node | None) -> Maps:
    """Return the feature maps of a network that ran on an image.

    `features` is the output of the module of that name.
    """
    maps = signals.maps()
    # a size keeps its place in the order, and gets the module of its last maps
    last_of_size = {signals.values[node].shape[2:]: str(node.target) for node in maps}
    obstacle = signals.obstacle(maps[-1]) if maps else None
    return Maps(
        last_of_size=tuple(last_of_size.values()),
        last=str(maps[-1].target) if maps else "",
        place=place(maps[-1]) if maps else "",
        is_bypassed=bool(maps) and signals.is_bypassed(maps[-1]),
        living_on=_what(signals, obstacle) if obstacle else "",
        is_from_features=features is not None and _is_branch(signals, features),
    )


def _what(signals: Signals, node: fx.Node) -> str:
    """Return operation and place of a node."""
    if node.op == "output":
        return "in the output"
    return f"{type(signals.operation(node)).__name__} in {place(node)}"


def _features(network: nn.Module, rewritten: Rewritten, signals: Signals) -> fx.Node | None:
    """Return the output of the module `features`, which may have other names too."""
    modules = dict(network.named_modules(remove_duplicate=False))
    nodes = {node.name: node for node in signals.axes}
    for name, module in modules.items():
        made = nodes.get(rewritten.outputs.get(name, ""))
        if made is not None and module is modules.get(FEATURES):
            return made
    return None


def _is_branch(signals: Signals, node: fx.Node) -> bool:
    """Return whether maps are those of a branch that others meet, all of which keep its places."""
    is_alone = not signals.is_bypassed(node)
    return signals.is_map(node) and not is_alone and signals.obstacle(node) is None


# --- recording ---


@contextmanager
def recorded(modules: Mapping[str, nn.Module]) -> Iterator[list[tuple[str, Any]]]:
    """Collect names and outputs of modules in the order in which they run.

    What comes after a module gets a copy, so that operations in place do not change the record.
    """
    seen: list[tuple[str, Any]] = []

    def note(name: str) -> Any:
        def keep(_module: nn.Module, _args: object, output: Any) -> Tensor | None:
            seen.append((name, output))
            return output.clone() if isinstance(output, Tensor) else None

        return keep

    handles = [module.register_forward_hook(note(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def chosen_module(network: nn.Module, x: Tensor, layer: str) -> tuple[nn.Module, str]:
    """Return a network and the name of its module whose maps are to be read.

    Args:
        network: as it was given.
        x: the images.
        layer: name of a module of it; empty: the trunk's output, or of several branches that meet
            after their maps the module `features`.

    Raises:
        Refused: no module has that name, or the trunk's output cannot be found.
    """
    names = dict(network.named_modules(remove_duplicate=False))
    if not layer and isinstance(network, Wrapped) and network.is_chosen:
        layer = network.features
    if layer:
        layer = name_inside(network, layer)
        if layer not in names:
            raise Refused(f"layer must name a module of the network, got {layer!r}.")
        return network, layer
    try:
        rewritten = rewrite(network, x)
    except CannotRewrite as error:
        if isinstance(network, Wrapped) and network.features:
            return network, name_inside(network, network.features)
        if FEATURES in names:
            return network, FEATURES
        raise Refused(f"The maps to use cannot be found: {error} Or {CHOOSE}.") from error

    maps = feature_maps(network, rewritten, x)
    if maps.is_from_features:
        return network, FEATURES
    return rewritten.network, maps.require_trunk()


def modules_with_maps(network: nn.Module, x: Tensor) -> tuple[nn.Module, dict[str, nn.Module]]:
    """Return a network and the modules of it that give the last maps at each resolution, by name.

    Of a network that cannot be rewritten: those of its trunk that have no parts and do not pool.

    Raises:
        Refused: there are no maps, or places live on after the last ones.
    """
    try:
        rewritten = rewrite(network, x)
    except CannotRewrite:
        trunk = getattr(network, "trunk", network)
        leaves = {name: one for name, one in trunk.named_modules() if not any(one.children())}
        unpooled = {name: one for name, one in leaves.items() if "Pool" not in type(one).__name__}
        return network, unpooled

    maps = feature_maps(network, rewritten, x)
    maps.require_maps()
    modules = {name: rewritten.network.get_submodule(name) for name in maps.last_of_size}
    return rewritten.network, modules

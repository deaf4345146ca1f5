"""Networks with re-randomised layers: their maps must differ, if maps show what was learnt.

Layers are taken from the input upwards (bottom-up): re-initialising from the output downwards keeps
the evidence of the early layers in most maps by construction. A layer is a module with weights of
its own, in the order of registration; it is redrawn as torch draws it (`reset_parameters`, which
also forgets the statistics of a batch norm). Weights that this leaves as they are get a random
order: those of a module that cannot do it, and what a re-parametrised weight (weight norm, spectral
norm) is computed from. The given network is not touched.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gpex_bench.models.given.wrapped import Wrapped
from gpex_bench.types.draws import uniform

Network = TypeVar("Network", bound=nn.Module)


def n_layers(network: nn.Module) -> int:
    """Return how many modules have weights of their own."""
    return len(_layers(network))


def redraw(network: Network, seed: int, n_first: int | None = None) -> Network:
    """Return a copy whose first layers are redrawn; they are the same however many follow them.

    Args:
        network: in its mode, which the copy keeps.
        seed: what the weights are drawn with; the same seed gives the same weights.
        n_first: how many layers, from the input; None for all of them.

    Raises:
        ValueError: the network has no weights, or fewer layers.
    """
    n_redrawn = n_layers(network) if n_first is None else n_first
    (twin,) = cascade(network, seed, [n_redrawn])
    return twin


def cascade(network: Network, seed: int, stages: list[int]) -> Iterator[Network]:
    """Yield one copy several times, each time with more redrawn layers; use it before the next.

    One copy and one redraw of each layer, since these can take longer than an explanation. The
    weights are those of `redraw`, whatever random numbers are drawn in between.

    Args:
        network: in its mode, which the copy keeps.
        seed: what the weights are drawn with; the same seed gives the same weights.
        stages: how many layers, from the input; ascending.

    Raises:
        ValueError: the network has no weights or fewer layers, or the stages do not ascend.
    """
    twin = _copied(network)
    layers = _layers(twin)
    n_done = 0
    draw = int(uniform("random weights", seed, torch.zeros(1, dtype=torch.long), 1) * 2**31)
    state = torch.Generator().manual_seed(draw).get_state()
    for n_first in stages:
        if not 1 <= n_first <= len(layers):
            raise ValueError(
                f"n_first must be between 1 and the network's {len(layers)} layers, got {n_first}."
            )
        if n_first < n_done:
            raise ValueError(f"stages must ascend, got {n_first} after {n_done}.")

        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.set_rng_state(state)
            for layer in layers[n_done:n_first]:
                _redraw_layer(layer)
            state = torch.get_rng_state()
        n_done = n_first
        yield twin


def _copied(network: Network) -> Network:
    """Return a deep copy; weights that were computed from others are copied without their graph."""
    memo: dict[int, Tensor] = {}
    for module in network.modules():
        for item in vars(module).values():
            if isinstance(item, Tensor) and not item.is_leaf:
                memo[id(item)] = item.detach().clone()
    return copy.deepcopy(network, memo)


def _layers(network: nn.Module) -> list[nn.Module]:
    """Return the modules with weights of their own, or with what these are computed from.

    An identity that a wrapped network has as its head is no layer of the network.
    """
    identities = [
        module.head
        for module in network.modules()
        if isinstance(module, Wrapped) and module.has_identity
    ]
    return [
        module
        for module in network.modules()
        if _weights(module)
        and not isinstance(module, parametrize.ParametrizationList)
        and not any(module is identity for identity in identities)
    ]


def _weights(layer: nn.Module) -> list[nn.Parameter]:
    """Return the weights of a layer, without those of its parts."""
    own = [*layer.parameters(recurse=False)]
    if parametrize.is_parametrized(layer):
        own += layer.parametrizations.parameters()  # type: ignore[union-attr, operator]
    return own


def _redraw_layer(layer: nn.Module) -> None:
    """Reset a layer, and put the weights that this leaves as they are in a random order."""
    device = _weights(layer)[0].device
    layer.cpu()  # one stream of draws, whatever the device
    before = [weight.clone() for weight in _weights(layer)]
    reset = getattr(layer, "reset_parameters", None)
    can_reset = callable(reset)
    if callable(reset):
        reset()

    for weight, old in zip(_weights(layer), before, strict=True):
        is_as_reset = can_reset and bool((weight == weight.flatten()[:1]).all())
        if torch.equal(weight, old) and not is_as_reset:
            order = torch.randperm(weight.numel())
            weight.copy_(weight.flatten()[order].view_as(weight))
    layer.to(device)

"""Networks whose layers are drawn anew: what a map must not look like, if it shows what a network has learnt.

Layers are taken from the input upwards (bottom-up): re-initialising from the output downwards keeps
the evidence of the early layers in most maps by construction. A layer is a module with weights of
its own, in the order of registration; it is drawn as torch draws it (`reset_parameters`, which also
forgets the statistics of a batch norm), and a module that cannot do this gets its own weights in a
random order. The given network is not touched.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import nn

from gpex_bench.types.draws import uniform

Network = TypeVar("Network", bound=nn.Module)


def n_layers(network: nn.Module) -> int:
    """Return how many modules have weights of their own."""
    return len(_layers(network))


def drawn_anew(network: Network, seed: int, n_first: int | None = None) -> Network:
    """Return a copy whose first layers are drawn anew; they are the same however many follow them.

    Args:
        network: in its mode, which the copy keeps.
        seed: what the weights are drawn with; the same seed gives the same weights.
        n_first: how many layers, from the input; None for all of them.

    Raises:
        ValueError: the network has no weights, or fewer layers.
    """
    (twin,) = cascade(network, seed, [n_layers(network) if n_first is None else n_first])
    return twin


def cascade(network: Network, seed: int, stages: list) -> Iterator[Network]:
    """Yield one copy again and again, with more of its layers drawn anew each time: use it before the next one.

    Drawn layer by layer, since copies and large layers take longer than some explanations do. The
    weights are those of `drawn_anew`, whatever random numbers are drawn in between.

    Args:
        network: in its mode, which the copy keeps.
        seed: what the weights are drawn with; the same seed gives the same weights.
        stages: how many layers, from the input; ascending.

    Raises:
        ValueError: the network has no weights or fewer layers, or the stages do not ascend.
    """
    twin = copy.deepcopy(network)
    layers, done = _layers(twin), 0
    draw = int(uniform("random weights", seed, torch.zeros(1, dtype=torch.long), 1) * 2**31)
    state = torch.Generator().manual_seed(draw).get_state()
    for n_first in stages:
        if not 1 <= n_first <= len(layers):
            raise ValueError(
                f"n_first must be between 1 and the network's {len(layers)} layers, got {n_first}."
            )
        if n_first < done:
            raise ValueError(f"stages must ascend, got {n_first} after {done}.")
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.set_rng_state(state)
            for layer in layers[done:n_first]:
                _draw(layer)
            state, done = torch.get_rng_state(), n_first
        yield twin


def _layers(network: nn.Module) -> list:
    return [
        module
        for module in network.modules()
        if any(True for _ in module.parameters(recurse=False))
    ]


def _draw(layer: nn.Module) -> None:
    device = next(layer.parameters(recurse=False)).device
    layer.cpu()  # one stream of draws, whatever the device
    if callable(reset := getattr(layer, "reset_parameters", None)):
        reset()
    else:
        for weight in layer.parameters(recurse=False):
            weight.copy_(weight.flatten()[torch.randperm(weight.numel())].view_as(weight))
    layer.to(device)

"""Networks with re-randomised layers: their maps must differ, if maps show what was learnt.

Layers are taken from the input upwards (bottom-up): re-initialising from the output downwards keeps
the evidence of the early layers in most maps by construction. A layer is a module with weights of
its own, in the order of registration; it is redrawn as torch draws it (`reset_parameters`, which
also forgets the statistics of a batch norm), and a module that cannot do this gets its own weights
in a random order. The given network is not touched.
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
    twin = copy.deepcopy(network)
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


def _layers(network: nn.Module) -> list[nn.Module]:
    """Return the modules with weights of their own."""
    return [module for module in network.modules() if [*module.parameters(recurse=False)]]


def _redraw_layer(layer: nn.Module) -> None:
    """Reset a layer, or put its weights in a random order."""
    device = next(layer.parameters(recurse=False)).device
    layer.cpu()  # one stream of draws, whatever the device
    reset = getattr(layer, "reset_parameters", None)
    if callable(reset):
        reset()
    else:
        for weight in layer.parameters(recurse=False):
            order = torch.randperm(weight.numel())
            weight.copy_(weight.flatten()[order].view_as(weight))
    layer.to(device)

"""What a network is now: its weights, its parts and their settings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

SAMPLED = 64  # entries of each tensor that are looked at one by one
PLAIN = (int, float, str, bool, type(None), torch.dtype)


def fingerprint(network: nn.Module) -> tuple[Any, ...]:
    """Return what changes when the network is changed in any usual way.

    Changes through `tensor.data`, which torch's versions do not show, are seen by sums and samples.
    """
    with torch.no_grad():
        return tuple(_of_module(module) for module in network.modules())


def _of_module(module: nn.Module) -> tuple[Any, ...]:
    settings: list[Any] = [id(module), type(module), *module._forward_pre_hooks]
    settings += _observed(module)

    tensors = [*module._parameters.values(), *module._buffers.values()]
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            tensors.append(value)
        elif isinstance(value, PLAIN) or _is_plain(value):
            settings.append((name, repr(value)))
        elif callable(value) and not isinstance(value, nn.Module):
            settings.append((name, id(value)))

    weights = [_of_tensor(tensor) for tensor in tensors if tensor is not None]
    return (*settings, *weights)


def _is_plain(value: Any) -> bool:
    """Return whether a list or dictionary holds numbers and words only."""
    items: Any = value.values() if isinstance(value, dict) else value
    is_known = isinstance(value, (list, tuple, set, dict)) and len(value) > 0
    return is_known and all(isinstance(item, PLAIN) for item in items)


def _observed(module: nn.Module) -> list[Any]:
    """Return which hooks there are, without those that count rows."""
    hooks = module._forward_hooks.items()
    return [key for key, hook in hooks if not hasattr(hook, "counts_rows")]


def _of_tensor(tensor: Tensor) -> tuple[Any, ...]:
    flat = tensor.detach().flatten()
    step = max(1, len(flat) // SAMPLED)
    sample = flat[::step].tolist()
    total = 0.0
    if flat.is_floating_point():
        total = float(flat.sum())

    version = 0
    if not tensor.is_inference():
        version = tensor._version
    return tensor.data_ptr(), version, tensor.shape, total, *sample

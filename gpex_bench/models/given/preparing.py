"""A copy of a network as somebody made it, ready to be explained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from gpex_bench.models.given.errors import CannotWrap

DATA_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def prepared(network: Any) -> tuple[nn.Module, list[str]]:
    """Return a copy in eval mode and single precision, and notes on what was changed.

    Its weights need no gradient. The network itself stays as it was: its weights, mode, hooks and
    device. What is trained later does not reach the copy.

    Raises:
        CannotWrap: it is no module, has weights without values, or cannot be copied.
    """
    notes: list[str] = []
    _check_module(network)
    inner = _unwrapped(network, notes)
    _check_weights(inner)

    with torch.no_grad():
        copied = _copied(inner)
    _uncompile(copied)
    copied.eval()
    for weight in copied.parameters():  # TorchScript has no `requires_grad_` for all
        weight.requires_grad_(False)
    _to_single_precision(copied, notes)
    n_hooks = sum(len(module._forward_hooks) for module in copied.modules())
    if n_hooks:
        notes.append(f"forward hooks that were on its modules run with it: {n_hooks}")
    return copied, notes


def device_of(network: nn.Module) -> torch.device:
    """Return where a network is; without weights, the CPU."""
    for tensor in (*network.parameters(), *network.buffers()):
        return tensor.device
    return torch.device("cpu")


def _check_module(network: Any) -> None:
    if isinstance(network, type):
        raise CannotWrap(
            f"network must be an object, got the class {network.__name__}; call it first."
        )
    if not isinstance(network, nn.Module):
        raise CannotWrap(
            f"network must be a torch.nn.Module, got {type(network).__name__}; put a function into "
            "the forward of a module, and a state_dict into the network that it belongs to."
        )


def _unwrapped(network: nn.Module, notes: list[str]) -> nn.Module:
    """Return what was compiled or made parallel, as it was before."""
    while True:
        if isinstance(network, DATA_PARALLEL):
            notes.append(f"{type(network).__name__} is left out")
            network = network.module
        elif isinstance(getattr(network, "_orig_mod", None), nn.Module):
            notes.append("it runs as it was before torch.compile")
            network = network._orig_mod  # type: ignore[assignment]
        else:
            return network


def _check_weights(network: nn.Module) -> None:
    """Raise CannotWrap for weights without values, or on several devices."""
    devices = set()
    for name, weight in network.named_parameters():
        if nn.parameter.is_lazy(weight):
            raise CannotWrap(
                f"The weight {name!r} has no shape yet; run the network once, and load its weights."
            )
        devices.add(weight.device)

    if torch.device("meta") in devices:
        raise CannotWrap("The network is on the device meta, without values; load its weights.")
    if len(devices) > 1:
        listed = ", ".join(sorted(map(str, devices)))
        raise CannotWrap(
            f"The network must be on one device, got {listed}; move it by network.to(device)."
        )


def _copied(network: nn.Module) -> nn.Module:
    """Return a deep copy; weights that were computed from others are copied without their graph."""
    memo: dict[int, Any] = {}
    if not isinstance(network, torch.jit.ScriptModule):
        for module in network.modules():
            for item in vars(module).values():
                if isinstance(item, Tensor) and not item.is_leaf:
                    memo[id(item)] = item.detach().clone()

    try:
        return copy.deepcopy(network, memo)
    except Exception as error:
        raise CannotWrap(
            f"The network cannot be copied ({type(error).__name__}: {error}); keep what copy."
            "deepcopy does not take (files, locks, generators) out of its attributes."
        ) from error


def _uncompile(network: nn.Module) -> None:
    """Let parts that were compiled run as they were written."""
    for name, module in list(network.named_modules()):
        original = getattr(module, "_orig_mod", None)
        if name and isinstance(original, nn.Module):
            network.set_submodule(name, original)
        elif getattr(module, "_compiled_call_impl", None) is not None:
            module._compiled_call_impl = None


def _to_single_precision(network: nn.Module, notes: list[str]) -> None:
    """Make float32 of weights in another precision."""
    tensors = [*network.parameters(), *network.buffers()]
    kinds = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    others = sorted(str(kind).removeprefix("torch.") for kind in kinds - {torch.float32})

    if others:
        network.float()
        notes.append(f"weights in {', '.join(others)} were converted to float32")

"""Class activation maps: which places of a network's last feature map are evidence for a class."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


def class_activation(
    network: nn.Module,
    x: Float[Tensor, "batch channel height width"],
    target: Int[Tensor, "batch"],
    layer: str = "",
) -> Float[Tensor, "batch 1 height width"]:
    """Return Grad-CAM at the size of the input: a weighted sum of maps (selvaraju2017grad).

    Only its positive part. The weight of a map is the mean of the target's gradient over its
    places.

    Args:
        network: any network with feature maps.
        x: the images.
        target: the head of each.
        layer: name of the module whose maps are used; empty: the module `features`, or the last
            module to run that gives maps of more than one place and is no pooling.

    Raises:
        ValueError: no module of that name, or no module at all, gives maps of more than one place.
    """
    modules = _candidates(network, layer)
    seen: list[Tensor] = []

    def note(module: nn.Module, args: Any, output: Any) -> None:
        is_pooling = not layer and "Pool" in type(module).__name__
        is_map = isinstance(output, Tensor) and output.ndim == 4 and output.shape[2:].numel() > 1
        if is_map and output.requires_grad and not is_pooling:
            seen.append(output)

    handles = [module.register_forward_hook(note) for module in modules.values()]
    try:
        with torch.enable_grad():
            logit = network(x.clone().requires_grad_()).gather(1, target[:, None]).sum()
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        names = ", ".join(modules) or "the network"
        raise ValueError(f"Grad-CAM needs a module that gives maps; {names} gives none.")

    maps = seen[-1]
    (gradient,) = torch.autograd.grad(logit, maps)
    weight = gradient.mean((2, 3), keepdim=True)
    weighted = (weight * maps.detach()).sum(1, keepdim=True)
    positive = weighted.clamp(min=0)
    return functional.interpolate(positive, x.shape[2:], mode="bilinear", align_corners=False)


def _candidates(network: nn.Module, layer: str) -> dict[str, nn.Module]:
    """Return the modules whose maps may be used, by name."""
    modules = dict(network.named_modules(remove_duplicate=False))
    if layer and layer not in modules:
        raise ValueError(f"layer must name a module of the network, got {layer!r}.")
    chosen = layer or "features"
    if chosen in modules:
        return {chosen: modules[chosen]}
    return {name: module for name, module in network.named_modules() if not any(module.children())}

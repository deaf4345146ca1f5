"""Class activation maps: which places of a network's last feature map are evidence for a class."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from gpex_bench.families.feature_maps import chosen_module, recorded
from gpex_bench.types.demands import Refused


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
        layer: name of the module whose maps are used, those of its last run; empty: the trunk's
            output (`feature_maps`).

    Raises:
        Refused: the module does not exist, or gives no maps of more than one place, or nothing says
            which maps to use.
    """
    source, name = chosen_module(network, x, layer)
    with torch.enable_grad(), recorded({name: source.get_submodule(name)}) as seen:
        image = x.detach().clone().requires_grad_()
        # a copy, because the network may begin with an operation in place
        logits = source(image.clone())
        maps = _maps(name, seen)
        logit = logits.gather(1, target[:, None]).sum()
        (gradient,) = torch.autograd.grad(logit, maps, allow_unused=True)

    if gradient is None:
        raise Refused(f"The logits do not depend on the maps of {name}; name another layer.")
    weight = gradient.mean((2, 3), keepdim=True)
    weighted = (weight * maps.detach()).sum(1, keepdim=True)
    positive = weighted.clamp(min=0)
    return functional.interpolate(positive, x.shape[2:], mode="bilinear", align_corners=False)


def _maps(name: str, seen: list[tuple[str, Any]]) -> Tensor:
    """Return the maps that a module gave last."""
    needs = "Grad-CAM needs a module that gives maps [batch, channel, row, column]"
    if not seen:
        raise Refused(f"{needs}; {name} does not run.")
    output = seen[-1][1]
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        raise Refused(f"{needs}; {name} gives a {kind}. Name a module inside it.")
    if output.ndim != 4 or output.shape[2:].numel() < 2:
        shape = tuple(output.shape)
        raise Refused(f"{needs}, of more than one place; {name} gives {shape}.")
    if not output.requires_grad:
        raise Refused(
            f"{needs} and a gradient; {name} gives maps that are detached from the image."
        )
    return output

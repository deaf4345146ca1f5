"""The first layers of a kernel network: a copy of the explained network's, or new ones.

Batch norm is fixed while a kernel network is trained (see `kernel_map`), so that a trunk with new
weights needs fixed statistics that suit it: they are measured once, on training samples, before the
training. A batch norm with fixed statistics after a convolution is one affine map with it, so that
the two are made one (`quicker`).
"""

from __future__ import annotations

import operator
from copy import deepcopy
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse

from gpex_bench.types import Dataset, Model

Trunk = Literal["network", "reset", "thin_resnet", "resnet18", "mlp"]
WIDTHS = {
    "thin_resnet": 8,
    "resnet18": 64,
}  # channels of a ResNet's first stage; 64 is the ResNet-18 of he2016deep
HIDDEN = 512  # units of each of the two layers of the perceptron
N_MEASURED = 512  # training samples on which the statistics of new batch-norm layers are measured


def trunk(model: Model, data: Dataset, kind: Trunk) -> nn.Module:
    """Return a trunk on the CPU in eval mode; new weights come from torch's current random state.

    Args:
        model: the explained network.
        data: the dataset, for the shape of the inputs.
        kind: network: a copy of `model.trunk`. reset: the same with new weights. thin_resnet,
            resnet18: a ResNet-18 for small images (3 x 3 stem without pooling). mlp: two dense
            layers, without locations.

    Raises:
        ValueError: the network has no module `trunk`, its trunk returns something else than [batch,
            channel, height, width] or [batch, feature], or a ResNet is asked for a table.
    """
    if kind in WIDTHS and not data.is_image:
        raise ValueError(
            f"trunk {kind!r} takes images, but {data.name!r} is a table; "
            "choose network, reset or mlp."
        )

    layers: nn.Module
    if kind in WIDTHS:
        layers = _resnet(data.train.x.shape[1], WIDTHS[kind])
    elif kind == "mlp":
        layers = _mlp(data.baseline.numel())
    else:
        layers = _copy(model, data, kind)

    if kind != "network":
        _measure(layers, data.train.x[:N_MEASURED])
    return quicker(layers.eval(), data.is_image).requires_grad_(True)


def quicker(layers: nn.Module, is_image: bool) -> nn.Module:
    """Return the same function of images for less: up to rounding, the same outputs and gradients.

    Each batch norm is folded into the convolution before it, and residuals are added as they are
    (our networks stack and sum them, for propagation rules). The channels of a place lie side by
    side, which suits convolutions with few channels. Layers that torch.fx cannot trace stay.
    """
    if not is_image:
        return layers
    if any(isinstance(layer, nn.BatchNorm2d) for layer in layers.modules()):
        try:
            folded = fuse(layers)
            layers = _with_adds(folded) if isinstance(folded, fx.GraphModule) else folded
        except (fx.proxy.TraceError, RuntimeError, TypeError, NotImplementedError):
            pass
    return layers.to(memory_format=torch.channels_last)


def _with_adds(traced: fx.GraphModule) -> fx.GraphModule:
    """Return a graph in which two tensors that are stacked and summed are added, in place."""
    for node in list(traced.graph.nodes):
        stacked = node.args[0] if node.target is torch.sum else None
        if not isinstance(stacked, fx.Node) or stacked.target is not torch.stack:
            continue
        dims = (node.kwargs.get("dim"), stacked.kwargs.get("dim"))
        terms: Any = stacked.args[0]
        if dims != (1, 1) or len(node.kwargs) > 1 or len(terms) != 2 or len(stacked.users) > 1:
            continue

        with traced.graph.inserting_before(node):
            total = traced.graph.call_function(operator.add, tuple(terms))
        node.replace_all_uses_with(total)
        traced.graph.erase_node(node)
        traced.graph.erase_node(stacked)
    traced.recompile()
    return traced


def _copy(model: Model, data: Dataset, kind: Trunk) -> nn.Module:
    """Return the network's own trunk, or the same with new weights."""
    name = type(model).__name__
    own = getattr(model, "trunk", None)
    n_axes = [2, 4] if data.is_image else [2]
    expected = "[batch, feature]"
    if data.is_image:
        expected = "[batch, channel, height, width] or [batch, feature]"
    if not isinstance(own, nn.Module):
        raise ValueError(
            f"{name} must have a module `trunk` that returns {expected}: GPEX's kernel map starts "
            "from it. Or choose a trunk of its own: thin_resnet, resnet18 or mlp."
        )

    layers = deepcopy(own).cpu().eval()
    if kind == "reset":
        for module in layers.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()

    with torch.no_grad():
        shape = tuple(layers(data.train.x[:1]).shape)
    if len(shape) not in n_axes:
        raise ValueError(f"{name}.trunk must return {expected}, got shape {shape}.")
    return layers


def _resnet(n_channels: int, width: int) -> nn.Sequential:
    """Return a ResNet-18 up to its map, an eighth of the image's height and width."""
    from torchvision.models.resnet import BasicBlock, conv1x1, conv3x3

    layers: list[nn.Module] = [conv3x3(n_channels, width), nn.BatchNorm2d(width), nn.ReLU()]
    n_in = width
    for stage in range(4):
        n_out = width * 2**stage
        stride = 1 if stage == 0 else 2
        shortcut = None
        if n_in != n_out:
            shortcut = nn.Sequential(conv1x1(n_in, n_out, stride), nn.BatchNorm2d(n_out))
        layers += [BasicBlock(n_in, n_out, stride, shortcut), BasicBlock(n_out, n_out)]
        n_in = n_out

    network = nn.Sequential(*layers)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _mlp(n_features: int) -> nn.Sequential:
    """Return two dense layers."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(n_features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()
    )


def _measure(module: nn.Module, x: Float[Tensor, "n *feature"]) -> None:
    """Set the running statistics of batch-norm layers to those of these inputs."""
    norms = [
        layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)
    ]
    if not norms or len(x) < 2:
        return

    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over batches
    with torch.no_grad():
        module.train()(x)

    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum

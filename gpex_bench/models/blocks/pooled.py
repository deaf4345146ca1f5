"""The networks behind the small zoo: a trunk of convolutions, pooling, wide layers, a head.

A module of its own, because a plug-in's file holds nothing but the plug-in. Activations are modules
of their own and work on copies; modules are registered in the order in which they run. Propagation
rules and hooks need both.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gpex_bench.types import Model


class PooledModel(Model):
    """An image -> `trunk` -> feature map -> `pool` -> `neck` (wide layers) -> `head`."""

    def __init__(
        self, trunk: nn.Module, neck: nn.Module, width: int, n_heads: int, pooled: int = 1
    ) -> None:
        """Take trunk and neck, units of the embedding, heads, and the side of the pooled map."""
        super().__init__()
        self.trunk = trunk
        self.pool = nn.AdaptiveAvgPool2d(pooled)
        self.neck = neck
        self.head = nn.Linear(width, n_heads)
        for module in trunk.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def features(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch map row column"]:
        """Return the last feature map, before pooling."""
        return self.trunk(x)

    def embed(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch wide"]:
        """Return the wide layer, after its ReLU."""
        return self.neck(self.pool(self.features(x)).flatten(1))


def wide_layers(*units: int) -> nn.Sequential:
    """Return linear layers between these numbers of units, each with its ReLU."""
    layers: list[nn.Module] = []
    for n_in, n_out in zip(units, units[1:], strict=False):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers)


def conv_norm_relu(
    n_in: int, n_out: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Return a convolution that keeps the size (or divides it by the stride), batch norm, ReLU."""
    convolution = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(n_out), nn.ReLU()]


class DenseLayer(nn.Module):
    """A layer of a DenseNet: batch norm, ReLU, convolution; adds its maps to those it was given."""

    def __init__(self, n_in: int, growth: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(n_in)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(n_in, growth, 3, padding=1, bias=False)

    def forward(
        self, x: Float[Tensor, "batch map height width"]
    ) -> Float[Tensor, "batch grown height width"]:
        """Return the maps and the new ones."""
        new = self.conv(self.relu(self.norm(x)))
        return torch.cat([x, new], 1)

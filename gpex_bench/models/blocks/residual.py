"""The residual network behind `resnet`: torchvision's blocks with registered adds and ReLUs.

A module of its own, so that looking up architectures does not import torchvision, which takes
longer than torch.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1, conv3x3
from zennit.layer import Sum

from gpex_bench.types import Model


class Block(BasicBlock):
    """torchvision's basic block with its own modules for the add and the last activation."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        shortcut = None
        if stride != 1 or n_in != n_out:
            shortcut = nn.Sequential(conv1x1(n_in, n_out, stride), nn.BatchNorm2d(n_out))
        super().__init__(n_in, n_out, stride, shortcut)
        self.relu = nn.ReLU()  # torchvision's works in place, which gradient hooks cannot follow
        self.add = Sum(dim=1)
        self.relu_out = nn.ReLU()

    def forward(
        self, x: Float[Tensor, "batch n_in height width"]
    ) -> Float[Tensor, "batch n_out row column"]:
        """Return the block's output."""
        inner = self.relu(self.bn1(self.conv1(x)))
        inner = self.bn2(self.conv2(inner))
        identity = x if self.downsample is None else self.downsample(x)
        return self.relu_out(self.add(torch.stack([identity, inner], dim=1)))


class ResnetModel(Model):
    """An image -> `trunk` (stem, 2-2-2-2 blocks) -> map -> `pool` -> `neck` (wide) -> `head`."""

    def __init__(self, n_channels: int, width: int, wide: int, n_heads: int) -> None:
        super().__init__()
        self.trunk = resnet_trunk(n_channels, width)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.neck = nn.Sequential(nn.Linear(8 * width, wide), nn.ReLU())
        self.head = nn.Linear(wide, n_heads)
        initialise(self.trunk)

    def features(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch map row column"]:
        """Return the last feature map, before pooling."""
        return self.trunk(x)

    def embed(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch wide"]:
        """Return the wide layer, after its ReLU."""
        return self.neck(self.pool(self.features(x)).flatten(1))


def resnet_trunk(n_channels: int, width: int) -> nn.Sequential:
    """Return stem and 2-2-2-2 blocks: to 8 * width channels and an eighth of height and width."""
    layers = [conv3x3(n_channels, width), nn.BatchNorm2d(width), nn.ReLU()]
    n_in = width
    for stage in range(4):
        n_out = width * 2**stage
        stride = 1 if stage == 0 else 2
        layers += [Block(n_in, n_out, stride), Block(n_out, n_out, 1)]
        n_in = n_out
    return nn.Sequential(*layers)


def initialise(trunk: nn.Module) -> None:
    """Draw the weights of the convolutions as torchvision's ResNet does."""
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def initialised_resnet_trunk(n_channels: int, width: int) -> nn.Sequential:
    """Return a trunk with the weights of `initialise`."""
    trunk = resnet_trunk(n_channels, width)
    initialise(trunk)
    return trunk

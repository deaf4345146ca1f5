"""A VGG-like network for small images (simonyan2015very): pairs of 3 x 3 convolutions.

Reconstruction for 28 to 32 pixels: three pairs in place of five groups, batch norms as in
torchvision's `vgg*_bn`, two wide layers without dropout.
"""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from gpex_bench.models.blocks.pooled import PooledModel, conv_norm_relu, wide_layers
from gpex_bench.models.training.loop import TrainedArchitecture, ZooTraining, check_takes
from gpex_bench.types import Dataset, Model, Need, demands, settings

POOLED = 3  # height and width of the feature map that the wide layers see


@settings
class Vgg(TrainedArchitecture):
    """Three pairs of convolutions, each followed by max pooling, and two wide layers."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    width: int = 8  # channels of the first pair; each later pair has twice as many
    wide: int = 256  # units of each wide layer
    training: ZooTraining = ZooTraining()

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "width", "wide")

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset does not hold images."""
        check_takes(self, data)
        layers: list[nn.Module] = []
        n_in = data.train.x.shape[1]
        for stage in range(3):
            n_out = self.width * 2**stage
            layers += conv_norm_relu(n_in, n_out)
            layers += conv_norm_relu(n_out, n_out)
            layers.append(nn.MaxPool2d(2))
            n_in = n_out

        neck = wide_layers(n_in * POOLED**2, self.wide, self.wide)
        return PooledModel(nn.Sequential(*layers), neck, self.wide, self.n_heads(data), POOLED)

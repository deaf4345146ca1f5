"""A DenseNet-like network for small images (huang2017densely).

Each layer sees the maps of all layers before it.

Reconstruction for 28 to 32 pixels: a stem that halves the size (a quarter in the original), three
blocks of layers without bottlenecks, transitions that halve the maps' number and size, and one wide
layer. Most batch norms read what others read too, so that canonisers that fold each into the
convolution registered before it (zennit's) fail or change the network; ours reads what runs.
"""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from gpex_bench.models.blocks.pooled import DenseLayer, PooledModel, wide_layers
from gpex_bench.models.training.loop import TrainedArchitecture, ZooTraining, check_takes
from gpex_bench.types import Dataset, Model, Need, demands, settings

N_BLOCKS = 3


@settings
class Densenet(TrainedArchitecture):
    """Three dense blocks with transitions and one wide layer."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    growth: int = 8  # maps that each layer adds; the stem has twice as many
    layers: int = 3  # of each block
    wide: int = 256  # units of the wide layer
    training: ZooTraining = ZooTraining()

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "growth", "layers", "wide")

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset does not hold images."""
        check_takes(self, data)
        n_channels = data.train.x.shape[1]
        n_maps = 2 * self.growth
        stem = nn.Conv2d(n_channels, n_maps, 3, stride=2, padding=1, bias=False)
        layers: list[nn.Module] = [stem]
        for block in range(N_BLOCKS):
            for _ in range(self.layers):
                layers.append(DenseLayer(n_maps, self.growth))
                n_maps += self.growth
            layers += [nn.BatchNorm2d(n_maps), nn.ReLU()]

            is_last = block == N_BLOCKS - 1
            if not is_last:
                layers += [nn.Conv2d(n_maps, n_maps // 2, 1, bias=False), nn.AvgPool2d(2)]
                n_maps //= 2

        neck = wide_layers(n_maps, self.wide)
        return PooledModel(nn.Sequential(*layers), neck, self.wide, self.n_heads(data))

"""A DenseNet-like network for small images (huang2017densely): each layer sees the maps of all layers before it.

Reconstruction for 28 to 32 pixels: a stem that halves the size (a quarter in the original), three
blocks of layers without bottlenecks, transitions that halve the maps' number and size, and one wide
layer. Most batch norms read what others read too, so that canonisers that fold each into the
convolution registered before it (zennit's) fail or change the network; ours reads what runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import nn

from gpex_bench.models.blocks.pooled import Grown, PooledModel, wide_layers
from gpex_bench.models.training import loop
from gpex_bench.types import Architecture, Dataset, Model, Need, settings

N_BLOCKS = 3


@settings
class DensenetTraining(loop.Training):
    """How it is trained."""

    epochs: int = 14
    shift: int = 2
    occluded: float = 0.5


@settings
class Densenet(Architecture):
    """Three dense blocks with transitions and one wide layer."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    growth: int = 8  # maps that each layer adds; the stem has twice as many
    layers: int = 3  # of each block
    wide: int = 256  # units of the wide layer
    training: DensenetTraining = DensenetTraining()

    def __post_init__(self) -> None:
        loop.check_positive(growth=self.growth, layers=self.layers, wide=self.wide)

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset does not hold images."""
        loop.check_takes(self, data)
        n_maps = 2 * self.growth
        trunk: list[nn.Module] = [
            nn.Conv2d(data.train.x.shape[1], n_maps, 3, stride=2, padding=1, bias=False)
        ]
        for block in range(N_BLOCKS):
            for _ in range(self.layers):
                trunk.append(Grown(n_maps, self.growth))
                n_maps += self.growth
            trunk += [nn.BatchNorm2d(n_maps), nn.ReLU()]
            if block < N_BLOCKS - 1:
                trunk += [nn.Conv2d(n_maps, n_maps // 2, 1, bias=False), nn.AvgPool2d(2)]
                n_maps //= 2
        neck = wide_layers(n_maps, self.wide)
        return PooledModel(nn.Sequential(*trunk), neck, (self.wide, len(data.classes)))

    def train(self, data: Dataset, seed: int, progress: Callable[[str], None]) -> Model:
        """Return the trained network in eval mode; its parameters require no gradients."""
        return loop.fit(
            loop.initialise(self.build, data, seed), data, self.training, seed, progress
        )

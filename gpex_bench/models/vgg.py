"""A VGG-like network for small images (simonyan2015very): pairs of 3 x 3 convolutions between max poolings.

Reconstruction for 28 to 32 pixels: three pairs in place of five groups, batch norms as in
torchvision's `vgg*_bn`, two wide layers without dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import nn

from gpex_bench.models.blocks.pooled import PooledModel, normed, wide_layers
from gpex_bench.models.training import loop
from gpex_bench.types import Architecture, Dataset, Model, Need, settings

POOLED = 3  # height and width of the feature map that the wide layers see


@settings
class VggTraining(loop.Training):
    """How it is trained."""

    epochs: int = 14
    shift: int = 2
    occluded: float = 0.5


@settings
class Vgg(Architecture):
    """Three pairs of convolutions, each followed by max pooling, and two wide layers."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    width: int = 8  # channels of the first pair; each later pair has twice as many
    wide: int = 256  # units of each wide layer
    training: VggTraining = VggTraining()

    def __post_init__(self) -> None:
        loop.check_positive(width=self.width, wide=self.wide)

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset does not hold images."""
        loop.check_takes(self, data)
        layers: list[nn.Module] = []
        n_in = data.train.x.shape[1]
        for stage in range(3):
            n_out = self.width * 2**stage
            layers += [*normed(n_in, n_out), *normed(n_out, n_out), nn.MaxPool2d(2)]
            n_in = n_out
        neck = wide_layers(n_in * POOLED**2, self.wide, self.wide)
        return PooledModel(nn.Sequential(*layers), neck, (self.wide, len(data.classes)), POOLED)

    def train(self, data: Dataset, seed: int, progress: Callable[[str], None]) -> Model:
        """Return the trained network in eval mode; its parameters require no gradients."""
        return loop.fit(
            loop.initialise(self.build, data, seed), data, self.training, seed, progress
        )

"""A MobileNet-like network for small images (howard2017mobilenets): depthwise, then pointwise convolutions.

Reconstruction for 28 to 32 pixels: a stem without stride, five separable convolutions in place of
thirteen, and one wide layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import nn

from gpex_bench.models.blocks.pooled import PooledModel, normed, wide_layers
from gpex_bench.models.training import loop
from gpex_bench.types import Architecture, Dataset, Model, Need, settings

BLOCKS = ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1))  # maps in widths, stride


@settings
class MobilenetTraining(loop.Training):
    """How it is trained."""

    epochs: int = 14
    shift: int = 2
    occluded: float = 0.5


@settings
class Mobilenet(Architecture):
    """Five depthwise separable convolutions and one wide layer."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    width: int = 16  # channels of the stem; the last separable convolutions have four times as many
    wide: int = 256  # units of the wide layer
    training: MobilenetTraining = MobilenetTraining()

    def __post_init__(self) -> None:
        loop.check_positive(width=self.width, wide=self.wide)

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset does not hold images."""
        loop.check_takes(self, data)
        n_in = self.width
        layers = normed(data.train.x.shape[1], n_in)
        for widths, stride in BLOCKS:
            n_out = widths * self.width
            layers += [
                *normed(n_in, n_in, stride=stride, groups=n_in),
                *normed(n_in, n_out, kernel=1),
            ]
            n_in = n_out
        neck = wide_layers(n_in, self.wide)
        return PooledModel(nn.Sequential(*layers), neck, (self.wide, len(data.classes)))

    def train(self, data: Dataset, seed: int, progress: Callable[[str], None]) -> Model:
        """Return the trained network in eval mode; its parameters require no gradients."""
        return loop.fit(
            loop.initialise(self.build, data, seed), data, self.training, seed, progress
        )

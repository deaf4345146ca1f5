"""A MobileNet-like network for small images (howard2017mobilenets).

Its convolutions are depthwise, then pointwise.

Reconstruction for 28 to 32 pixels: a stem without stride, five separable convolutions in place of
thirteen, and one wide layer.
"""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from gpex_bench.models.blocks.pooled import PooledModel, conv_norm_relu, wide_layers
from gpex_bench.models.training.loop import TrainedArchitecture, ZooTraining, check_takes
from gpex_bench.types import Dataset, Model, Need, demands, settings

BLOCKS = ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1))  # maps in widths, stride


@settings
class Mobilenet(TrainedArchitecture):
    """Five depthwise separable convolutions and one wide layer."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    width: int = 16  # channels of the stem; the last separable convolutions have four times as many
    wide: int = 256  # units of the wide layer
    training: ZooTraining = ZooTraining()

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "width", "wide")

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset does not hold images."""
        check_takes(self, data)
        n_in = self.width
        layers = conv_norm_relu(data.train.x.shape[1], n_in)
        for widths, stride in BLOCKS:
            n_out = widths * self.width
            layers += conv_norm_relu(n_in, n_in, stride=stride, groups=n_in)
            layers += conv_norm_relu(n_in, n_out, kernel=1)
            n_in = n_out

        neck = wide_layers(n_in, self.wide)
        return PooledModel(nn.Sequential(*layers), neck, self.wide, self.n_heads(data))

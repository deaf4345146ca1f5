"""An AlexNet-like network for small images (krizhevsky2012imagenet): five plain convolutions.

Reconstruction for 28 to 32 pixels: convolutions of 5, 5, 3, 3, 3 pixels with overlapping max
pooling after the first, second and fifth, as in the original, but with stride 1 throughout. Batch
norms after every convolution stand for the original's response normalisation after the first two;
there is no dropout.
"""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from gpex_bench.models.blocks.pooled import PooledModel, conv_norm_relu, wide_layers
from gpex_bench.models.training.loop import TrainedArchitecture, ZooTraining, check_takes
from gpex_bench.types import Dataset, Model, Need, demands, settings

POOLED = 3  # height and width of the feature map that the wide layers see


@settings
class Alexnet(TrainedArchitecture):
    """Five convolutions, three max poolings and two wide layers."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    width: int = 12  # channels of the first convolution; the others have two or three times as many
    wide: int = 256  # units of each wide layer
    training: ZooTraining = ZooTraining()

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "width", "wide")

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset does not hold images."""
        check_takes(self, data)
        width = self.width
        n_channels = data.train.x.shape[1]
        trunk = nn.Sequential(
            *conv_norm_relu(n_channels, width, 5),
            nn.MaxPool2d(3, 2, 1),
            *conv_norm_relu(width, 2 * width, 5),
            nn.MaxPool2d(3, 2, 1),
            *conv_norm_relu(2 * width, 3 * width),
            *conv_norm_relu(3 * width, 2 * width),
            *conv_norm_relu(2 * width, 2 * width),
            nn.MaxPool2d(3, 2, 1),
        )
        neck = wide_layers(2 * width * POOLED**2, self.wide, self.wide)
        return PooledModel(trunk, neck, self.wide, self.n_heads(data), POOLED)

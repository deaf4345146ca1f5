"""A BagNet-like network for small images (brendel2019approximating).

Its logits are means of evidence from small patches.

Reconstruction for 28 to 32 pixels: plain convolutions in place of a ResNet-50, most of them of one
pixel, so that a place of the last map sees a patch of 9 or 17 pixels. There is no layer after the
pooling but the linear head: the wide layer is a convolution of one pixel before it, and a logit is
the mean over places of the head's outputs there.
"""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from gpex_bench.models.blocks.pooled import PooledModel, conv_norm_relu
from gpex_bench.models.training.loop import TrainedArchitecture, ZooTraining, check_takes
from gpex_bench.types import Dataset, Model, Need, demands, settings

# kernel, stride and maps (in widths) of each convolution, by the side of the patch
LAYERS = {
    9: ((3, 1, 1), (1, 1, 1), (3, 2, 2), (1, 1, 2), (3, 1, 4), (1, 1, 4)),
    17: ((3, 1, 1), (1, 1, 1), (3, 2, 2), (1, 1, 2), (3, 2, 4), (1, 1, 4), (3, 1, 4), (1, 1, 4)),
}


@settings
class Bagnet(TrainedArchitecture):
    """Mean evidence of patches of a given size."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    patch: int = 9  # side of what a place of the last map sees, in pixels: 9 or 17
    width: int = 16  # channels of the first convolutions; the last have four times as many
    wide: int = 256  # units of the wide layer
    training: ZooTraining = ZooTraining()

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "width", "wide")
        demands.one_of(self, patch=tuple(LAYERS))

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset does not hold images."""
        check_takes(self, data)
        layers: list[nn.Module] = []
        n_in = data.train.x.shape[1]
        for kernel, stride, widths in LAYERS[self.patch]:
            n_out = widths * self.width
            layers += conv_norm_relu(n_in, n_out, kernel, stride)
            n_in = n_out
        layers += [nn.Conv2d(n_in, self.wide, 1), nn.ReLU()]

        trunk = nn.Sequential(*layers)
        return PooledModel(trunk, nn.Identity(), self.wide, self.n_heads(data))

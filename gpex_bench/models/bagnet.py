"""A BagNet-like network for small images (brendel2019approximating): logits are means of evidence from small patches.

Reconstruction for 28 to 32 pixels: plain convolutions in place of a ResNet-50, most of them of one
pixel, so that a place of the last map sees a patch of 9 or 17 pixels. There is no layer after the
pooling but the linear head: the wide layer is a convolution of one pixel before it, and a logit is
the mean over places of what the head says of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import nn

from gpex_bench.models.blocks.pooled import PooledModel, normed
from gpex_bench.models.training import loop
from gpex_bench.types import Architecture, Dataset, Model, Need, settings

# kernel, stride and maps (in widths) of each convolution, by the side of the patch
LAYERS = {
    9: ((3, 1, 1), (1, 1, 1), (3, 2, 2), (1, 1, 2), (3, 1, 4), (1, 1, 4)),
    17: ((3, 1, 1), (1, 1, 1), (3, 2, 2), (1, 1, 2), (3, 2, 4), (1, 1, 4), (3, 1, 4), (1, 1, 4)),
}


@settings
class BagnetTraining(loop.Training):
    """How it is trained."""

    epochs: int = 14
    shift: int = 2
    occluded: float = 0.5


@settings
class Bagnet(Architecture):
    """Mean evidence of patches of a given size."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    patch: int = 9  # side of what a place of the last map sees, in pixels: 9 or 17
    width: int = 16  # channels of the first convolutions; the last have four times as many
    wide: int = 256  # units of the wide layer
    training: BagnetTraining = BagnetTraining()

    def __post_init__(self) -> None:
        loop.check_positive(width=self.width, wide=self.wide)
        if self.patch not in LAYERS:
            raise ValueError(
                f"patch must be one of {', '.join(map(str, LAYERS))} pixels, got {self.patch}."
            )

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset does not hold images."""
        loop.check_takes(self, data)
        layers: list[nn.Module] = []
        n_in = data.train.x.shape[1]
        for kernel, stride, widths in LAYERS[self.patch]:
            layers += normed(n_in, widths * self.width, kernel, stride)
            n_in = widths * self.width
        layers += [nn.Conv2d(n_in, self.wide, 1), nn.ReLU()]
        return PooledModel(nn.Sequential(*layers), nn.Identity(), (self.wide, len(data.classes)))

    def train(self, data: Dataset, seed: int, progress: Callable[[str], None]) -> Model:
        """Return the trained network in eval mode; its parameters require no gradients."""
        return loop.fit(
            loop.initialise(self.build, data, seed), data, self.training, seed, progress
        )

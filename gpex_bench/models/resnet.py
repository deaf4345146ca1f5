"""A thin ResNet-18 for small images (he2016deep): torchvision's topology with a width of choice and one wide layer.

Reconstruction: as usual for images of 32 pixels, the stem is a 3 x 3 convolution without
max-pooling. Blocks are torchvision's; what differs is that each activation is a module of its own
(torchvision's share one, in place) and that the residual add is a registered `Sum`, both of which
propagation rules need. Modules are registered in the order in which they run, so that zennit's
canonisers find the convolution of each batch norm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from gpex_bench.models.training import loop
from gpex_bench.types import Architecture, Dataset, Model, Need, settings


@settings
class ResnetTraining(loop.Training):
    """How it is trained."""

    epochs: int = 14
    shift: int = 2
    occluded: float = 0.5


@settings
class Resnet(Architecture):
    """ResNet-18 of a given width."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    width: int = 8  # channels of the first stage; each later stage has twice as many
    wide: int = 1024  # units of the wide layer
    training: ResnetTraining = ResnetTraining()

    def __post_init__(self) -> None:
        loop.check_positive(width=self.width, wide=self.wide)

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset does not hold images."""
        from gpex_bench.models.blocks.residual import ResnetModel

        loop.check_takes(self, data)
        return ResnetModel(data.train.x.shape[1], self.width, self.wide, len(data.classes))

    def train(self, data: Dataset, seed: int, progress: Callable[[str], None]) -> Model:
        """Return the trained network in eval mode; its parameters require no gradients."""
        return loop.fit(
            loop.initialise(self.build, data, seed), data, self.training, seed, progress
        )

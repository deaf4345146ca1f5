"""A thin ResNet-18 for small images (he2016deep): torchvision's topology and one wide layer.

Reconstruction: as usual for images of 32 pixels, the stem is a 3 x 3 convolution without
max-pooling. Blocks are torchvision's; what differs is that each activation is a module of its own
(torchvision's share one, in place) and that the residual add is a registered `Sum`, both of which
propagation rules need. Modules are registered in the order in which they run, so that zennit's
canonisers find the convolution of each batch norm.
"""

from __future__ import annotations

from typing import ClassVar

from gpex_bench.models.training.loop import TrainedArchitecture, ZooTraining, check_takes
from gpex_bench.types import Dataset, Model, Need, demands, settings


@settings
class Resnet(TrainedArchitecture):
    """ResNet-18 of a given width."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    width: int = 8  # channels of the first stage; each later stage has twice as many
    wide: int = 1024  # units of the wide layer
    training: ZooTraining = ZooTraining()

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "width", "wide")

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset does not hold images."""
        from gpex_bench.models.blocks.residual import ResnetModel

        check_takes(self, data)
        return ResnetModel(data.train.x.shape[1], self.width, self.wide, self.n_heads(data))

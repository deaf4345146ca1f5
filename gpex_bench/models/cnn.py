"""A small convolutional network with one wide layer at the end, for digits."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from gpex_bench.models.training.loop import TrainedArchitecture, Training, check_takes
from gpex_bench.types import Dataset, Model, Need, demands, settings

POOLED = 3  # height and width of the feature map that the wide layer sees


class CnnModel(Model):
    """An image -> `trunk` (convolutions) -> map -> `pool` -> `neck` (wide layer) -> `head`."""

    def __init__(self, n_channels: int, width: int, wide: int, n_heads: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(n_channels, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.ReLU(),
        )
        self.pool = nn.AdaptiveAvgPool2d(POOLED)
        self.neck = nn.Sequential(nn.Linear(4 * width * POOLED**2, wide), nn.ReLU())
        self.head = nn.Linear(wide, n_heads)

    def features(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch map row column"]:
        """Return the last feature map: a quarter of the image's height and width."""
        return self.trunk(x)

    def embed(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch wide"]:
        """Return the wide layer, after its ReLU."""
        return self.neck(self.pool(self.features(x)).flatten(1))


@settings
class CnnTraining(Training):
    """How it is trained; docs/decisions.md has how the values were chosen."""

    epochs: int = 30
    batch_size: int = 32
    shift: int = 2
    occluded: float = 0.25


@settings
class Cnn(TrainedArchitecture):
    """Three convolutions and one wide layer."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    width: int = 16  # channels of the first convolution; the next have two and four times as many
    wide: int = 1024  # units of the wide layer
    training: CnnTraining = CnnTraining()

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "width", "wide")

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset does not hold images."""
        check_takes(self, data)
        return CnnModel(data.train.x.shape[1], self.width, self.wide, self.n_heads(data))

"""A multilayer perceptron with one wide hidden layer, for tables."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from gpex_bench.models.training.loop import TrainedArchitecture, Training, check_takes
from gpex_bench.types import Dataset, Model, Need, demands, settings


class MlpModel(Model):
    """[batch, feature] -> `trunk` (linear, ReLU) -> [batch, wide] -> `head`."""

    def __init__(self, n_features: int, wide: int, n_heads: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(n_features, wide), nn.ReLU())
        self.head = nn.Linear(wide, n_heads)

    def embed(self, x: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch wide"]:
        """Return the wide layer, after its ReLU."""
        return self.trunk(x)


@settings
class MlpTraining(Training):
    """How it is trained; docs/decisions.md has how the values were chosen."""

    epochs: int = 20
    learning_rate: float = 1e-3
    batch_size: int = 32
    occluded: float = 0.25


@settings
class Mlp(TrainedArchitecture):
    """One wide hidden layer."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.TABLE})

    wide: int = 1024  # hidden units
    training: MlpTraining = MlpTraining()

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "wide")

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset is not a table."""
        check_takes(self, data)
        return MlpModel(data.train.x.shape[1], self.wide, self.n_heads(data))

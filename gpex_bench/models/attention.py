"""A classifier of two branches: one weights the other's places (akbarnejad2023gpex, section 4).

Attention branch: trunk -> 1x1 convolutions -> one logit per place -> sigmoid, clamped to [0.1,
0.9], over its sum. Feature branch: trunk -> features, averaged over places with these weights -> a
wide layer -> a linear head. Surrogates are fitted to the attention logits, one head per place, and
start from the attention branch's trunk.

Reconstruction: Akbarnejad et al. use two ResNet-18 and 1x1 convolutions 512 -> 200 -> 1024 -> 1;
here `trunk` is three convolutions or a ResNet-18 of a width of choice, and the 1x1 convolutions
have `squeeze` and 4 * `squeeze` channels. They put a batch norm after the last one on MNIST, which
we leave out.

The branches meet in a product with a normalised sigmoid. LRP takes that for a gate: the features
get all relevance, and the map shows what was weighted, not why it was weighted so.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gpex_bench.models.training.loop import TrainedArchitecture, Training, check_takes
from gpex_bench.types import Dataset, Model, Need, demands, settings


@settings
class AttentionTraining(Training):
    """How it is trained; docs/decisions.md has how the values were chosen."""

    epochs: int = 15
    batch_size: int = 32
    shift: int = 2
    occluded: float = 0.25


@settings
class Attention(TrainedArchitecture):
    """Two convolutional branches: features, and the attention that weights them."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})
    explained: ClassVar[str] = "attention"

    # of both branches: three convolutions, or a ResNet-18
    trunk: Literal["plain", "resnet"] = "plain"
    # channels of the first convolution or stage; a plain map has 4, a ResNet's 8 times as many
    width: int = 16
    squeeze: int = 48  # channels of the first 1x1 convolution; the second has four times as many
    wide: int = 1024  # units of the wide layer
    training: AttentionTraining = AttentionTraining()

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "width", "squeeze", "wide")

    def build(self, data: Dataset) -> Model:
        """Return an untrained network; ValueError if the dataset does not hold images."""
        from gpex_bench.models.blocks.two_branches import AttentionModel, plain_trunk

        check_takes(self, data)
        trunk = plain_trunk
        factor = 4  # channels of the last map, in widths
        if self.trunk == "resnet":
            from gpex_bench.models.blocks.residual import initialised_resnet_trunk

            trunk = initialised_resnet_trunk
            factor = 8

        n_channels = data.train.x.shape[1]
        return AttentionModel(
            trunk(n_channels, self.width),
            trunk(n_channels, self.width),
            channels=factor * self.width,
            squeeze=self.squeeze,
            wide=self.wide,
            n_heads=self.n_heads(data),
        )

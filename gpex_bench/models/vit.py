"""A small vision transformer (dosovitskiy2021image): patches as tokens, and attention between them.

Reconstruction for images of 28 to 32 pixels: patches of 4 pixels, three narrow blocks without
dropout, and one wide layer with a ReLU before the head, as in the other networks of the zoo.
Tokens come from a few convolutions (xiao2021early): with a linear map of the patches, the network
learnt next to nothing of `shapes` in the epochs that a CPU has time for. Layer norms come before
what they normalise; positions are learned and start as sines and cosines; the head reads the mean
of the patches (beyer2022better) or a class token.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from gpex_bench.models.training.loop import TrainedArchitecture, Training, check_takes
from gpex_bench.types import Dataset, Model, Need, demands, settings


@settings
class VitTraining(Training):
    """How it is trained; docs/decisions.md has how the values were chosen."""

    epochs: int = 20
    learning_rate: float = 1e-3
    batch_size: int = 32
    shift: int = 2
    occluded: float = 0.25


@settings
class Vit(TrainedArchitecture):
    """Blocks of multi-head attention over the patches of an image."""

    takes: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    patch: int = 4  # side of a patch, in pixels; must divide height and width of the images
    # channels of the first of three convolutions that make the tokens; 0: a linear map instead
    stem: int = 16
    width: int = 64  # entries of a token
    blocks: int = 3  # of attention and linear layers
    heads: int = 4  # of each attention; must divide `width`
    pooling: Literal["mean", "class"] = "mean"  # what the head reads: the patches or a class token
    wide: int = 256  # units of the wide layer
    training: VitTraining = VitTraining()

    def __post_init__(self) -> None:
        demands.at_least(self, 1, "patch", "width", "blocks", "heads", "wide")
        demands.at_least(self, 0, "stem")
        demands.one_of(self, pooling=("mean", "class"))
        if self.width % self.heads:
            raise ValueError(
                f"heads must divide the width of {self.width} entries, got {self.heads}."
            )
        if self.stem and self.patch % 2:
            raise ValueError(
                f"patch must be even with a stem, whose second convolution halves the image; got "
                f"{self.patch}. Or set stem: 0."
            )

    def build(self, data: Dataset) -> Model:
        """Return an untrained network.

        Raises:
            ValueError: the dataset does not hold images, or patches do not fill them.
        """
        from gpex_bench.models.blocks import transformer

        check_takes(self, data)
        n_channels, height, width = data.train.x.shape[1:]
        if height % self.patch or width % self.patch:
            raise ValueError(
                f"patch must divide the {height} x {width} pixels of the images of {data.name!r}, "
                f"got {self.patch}."
            )

        if self.stem:
            patches = transformer.stem(n_channels, self.patch, self.width, self.stem)
        else:
            patches = transformer.linear_patches(n_channels, self.patch, self.width)
        trunk = transformer.PatchTransformer(
            patches,
            (height // self.patch, width // self.patch),
            width=self.width,
            n_blocks=self.blocks,
            n_heads=self.heads,
            has_class_token=self.pooling == "class",
        )
        return transformer.VitModel(trunk, self.width, self.wide, self.n_heads(data))

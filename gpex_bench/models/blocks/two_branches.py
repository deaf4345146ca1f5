"""The network behind `attention`: one branch gives features, the other weights their places.

A module of its own, because a plug-in's file holds nothing but the plug-in.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gpex_bench.types import Model

# a place is never quite ignored and never quite sure; Akbarnejad et al. clamp to the same
LOW, HIGH = 0.1, 0.9


class Attend(nn.Module):
    """A map -> 1x1 convolutions -> one logit per place."""

    def __init__(self, n_in: int, squeeze: int, wide: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(n_in, squeeze, 1),
            nn.ReLU(),
            nn.Conv2d(squeeze, wide, 1),
            nn.ReLU(),
            nn.Conv2d(wide, 1, 1),
        )

    def forward(
        self, features: Float[Tensor, "batch map row column"]
    ) -> Float[Tensor, "batch row column"]:
        """Return the attention logits."""
        return self.layers(features).squeeze(1)


class AttentionModel(Model):
    """An image -> `trunk`, `attend` -> attention; weighted mean of `features` -> `neck` -> `head`.

    The weights of the mean are sigmoid(logits), clamped to [LOW, HIGH], over their sum. Akbarnejad
    et al. take the mean over the places where we take the sum of the weighted features: a constant
    factor, which the next layer absorbs.
    """

    def __init__(  # noqa: PLR0913 - sizes by keyword
        self,
        trunk: nn.Module,
        features: nn.Module,
        *,
        channels: int,
        squeeze: int,
        wide: int,
        n_heads: int,
    ) -> None:
        """Take both branches up to their maps.

        Args:
            trunk: the branch of the attention.
            features: the branch of the features.
            channels: of the map of either.
            squeeze: channels of the first convolution of `attend`.
            wide: units of `neck`.
            n_heads: classes.
        """
        super().__init__()
        self.trunk = trunk  # of the attention: where surrogates start
        self.attend = Attend(channels, squeeze, 4 * squeeze)
        self.features = features
        self.neck = nn.Sequential(nn.Linear(channels, wide), nn.ReLU())
        self.head = nn.Linear(wide, n_heads)

    def attention(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch row column"]:
        """Return the share of each place in the weighted mean; shares sum to 1."""
        return shares(self.attend(self.trunk(x)))

    def embed(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch wide"]:
        """Return the wide layer, after its ReLU."""
        weighted = self.features(x) * self.attention(x)[:, None]
        return self.neck(weighted.sum((2, 3)))

    def explained(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch place"]:
        """Return the attention logits, row by row: what a surrogate is fitted to."""
        return self.attend(self.trunk(x)).flatten(1)

    def explained_features(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch place attended"]:
        """Return the input of the last 1x1 convolution at each place: one group per head."""
        maps = self.attend.layers[:-1](self.trunk(x))
        return maps.flatten(2).mT

    def grid(self, x: Float[Tensor, "batch channel height width"]) -> tuple[int, int]:
        """Return height and width of the attention map."""
        with torch.no_grad():
            height, width = self.trunk(x[:1]).shape[-2:]
        return height, width


def shares(logits: Float[Tensor, "batch row column"]) -> Float[Tensor, "batch row column"]:
    """Return the share of each place: sigmoid, clamped to [LOW, HIGH], over its sum."""
    weight = logits.sigmoid().clamp(LOW, HIGH)
    return weight / weight.sum((1, 2), keepdim=True)


def plain_trunk(n_channels: int, width: int) -> nn.Sequential:
    """Return three convolutions to 4 * width channels and a quarter of height and width."""
    return nn.Sequential(
        nn.Conv2d(n_channels, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(2 * width, 4 * width, 3, padding=1),
        nn.ReLU(),
    )

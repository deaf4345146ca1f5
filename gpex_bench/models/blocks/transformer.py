"""The network behind `vit`: patches as tokens, blocks of attention, one vector for the head.

A module of its own, because a plug-in's file holds nothing but the plug-in. Attention is written
out, so that its queries, keys, values and weights are outputs of modules or of plain operations.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gpex_bench.models.blocks.pooled import conv_norm_relu
from gpex_bench.types import Model

SPREAD = 0.02  # standard deviation of the class token's entries before training


class SelfAttention(nn.Module):
    """Every token takes a weighted mean of all tokens' values, once in each head."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.softmax = nn.Softmax(dim=-1)
        self.out = nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "batch token width"]
    ) -> Float[Tensor, "batch token width"]:
        """Return the weighted means of all heads, mixed by a linear layer."""
        query = self._split(self.query(tokens))
        key = self._split(self.key(tokens))
        value = self._split(self.value(tokens))

        scale = query.shape[-1] ** -0.5
        score = query @ key.transpose(-2, -1) * scale
        weight = self.softmax(score)
        mean = weight @ value
        joined = mean.transpose(1, 2).flatten(2)
        return self.out(joined)

    def _split(self, tokens: Tensor) -> Tensor:
        """Return the part of each head: [batch, head, token, width of a head]."""
        return tokens.unflatten(2, (self.n_heads, -1)).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Attention, then two linear layers for each token; both add to what they were given.

    Each is preceded by its layer norm (pre-norm).
    """

    def __init__(self, width: int, n_heads: int, hidden: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = SelfAttention(width, n_heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(
        self, tokens: Float[Tensor, "batch token width"]
    ) -> Float[Tensor, "batch token width"]:
        """Return the tokens with what attention and linear layers add to them."""
        tokens = tokens + self.attention(self.norm_attention(tokens))
        return tokens + self.mlp(self.norm_mlp(tokens))


class PatchTransformer(nn.Module):
    """An image -> patches -> a token for each, plus its position -> blocks -> layer norm."""

    def __init__(  # noqa: PLR0913 - sizes by keyword
        self,
        patches: nn.Module,
        grid: tuple[int, int],
        *,
        width: int,
        n_blocks: int,
        n_heads: int,
        has_class_token: bool,
    ) -> None:
        """Take what makes a map of patches, and the sizes.

        Args:
            patches: an image -> [batch, width, row, column] (`linear_patches`, `stem`).
            grid: rows and columns of patches.
            width: entries of a token.
            n_blocks: of attention and linear layers.
            n_heads: of each attention; divides `width`.
            has_class_token: whether a learned token goes before the patches.
        """
        super().__init__()
        self.grid = grid
        position = waves(grid, width)
        self.class_token = None
        if has_class_token:
            position = torch.cat([torch.zeros(1, width), position])
            self.class_token = nn.Parameter(SPREAD * torch.randn(1, 1, width))
        self.position = nn.Parameter(position[None])

        self.patches = patches
        blocks = [TransformerBlock(width, n_heads, 2 * width) for _ in range(n_blocks)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width)

    def tokens(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch token entry"]:
        """Return the last tokens; the class token first, then the patches row by row."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            first = self.class_token.expand(x.shape[0], -1, -1)
            tokens = torch.cat([first, tokens], dim=1)
        return self.norm(self.blocks(tokens + self.position))

    def forward(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch entry row column"]:
        """Return the last tokens of the patches as a map."""
        tokens = self.tokens(x)
        patches = tokens if self.class_token is None else tokens[:, 1:]
        return patches.transpose(1, 2).unflatten(2, self.grid)


class VitModel(Model):
    """An image -> `trunk` -> class token or mean of patches -> `neck` (wide layer) -> `head`."""

    def __init__(self, trunk: PatchTransformer, width: int, wide: int, n_heads: int) -> None:
        """Take the trunk, entries of its tokens, units of `neck`, and the number of classes."""
        super().__init__()
        self.trunk = trunk
        self.neck = nn.Sequential(nn.Linear(width, wide), nn.ReLU())
        self.head = nn.Linear(wide, n_heads)

    def embed(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch wide"]:
        """Return the wide layer, after its ReLU."""
        if self.trunk.class_token is None:
            return self.neck(self.trunk(x).mean((2, 3)))
        return self.neck(self.trunk.tokens(x)[:, 0])


def linear_patches(n_channels: int, patch: int, width: int) -> nn.Module:
    """Return a linear map of each patch to the entries of its token."""
    return nn.Conv2d(n_channels, width, patch, stride=patch)


def stem(n_channels: int, patch: int, width: int, first: int) -> nn.Module:
    """Return three convolutions that give a token for each patch, and see a little more of it.

    Each is followed by a batch norm, so that small networks learn in few epochs. `first` is the
    number of channels of the first one; `patch` is even.
    """
    half = patch // 2
    return nn.Sequential(
        *conv_norm_relu(n_channels, first),
        *conv_norm_relu(first, 2 * first, stride=2),
        nn.Conv2d(2 * first, width, half, stride=half, bias=False),
        nn.BatchNorm2d(width),
    )


def waves(grid: tuple[int, int], width: int) -> Float[Tensor, "place width"]:
    """Return where learned positions start: sines and cosines of row and column.

    As in vaswani2017attention, for two axes; periods grow from 2 pi to 200 pi places. Entries that
    are left over are 0.
    """
    n_rates = width // 4
    rate = torch.logspace(0, -2, n_rates)
    row = torch.arange(grid[0])[:, None, None] * rate
    column = torch.arange(grid[1])[None, :, None] * rate

    row, column = torch.broadcast_tensors(row, column)
    entries = torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], dim=2)
    flat = entries.flatten(0, 1)
    n_left = width - flat.shape[1]
    return nn.functional.pad(flat, (0, n_left))

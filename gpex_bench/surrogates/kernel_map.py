"""The trainable kernel map f: x -> [head, dim]; the kernel of a head is k(x, x') = f(x) . f(x').

An image network ends like the paper's: trunk -> 1x1 convolution -> ReLU -> 1x1 convolution -> spatial mean -> unit norm per
head -> leaky ReLU. Up to the norm the embedding is a mean over the locations of the trunk's map, so every inner product
with it splits exactly into a map: `locations` gives the terms. A table has a small perceptron and no locations.

Differences from the paper (Akbarnejad et al. 2023), all settings of `gpex.Gpex`: the trunk starts as a copy of the explained
network's trunk, where the paper trains a ResNet-50 from scratch (fewer steps, and the features start from what the
network computes); the norm is 1 as in the paper's text, not 0.1 as in its code.

The trunk's batch-norm layers keep the running statistics of the explained network (eval mode): mixed inputs and training
samples pass in batches of their own, and batch statistics would give the same sample another embedding in each,
and rows that influence one another. Their affine parameters are trained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gpex_bench.types import Dataset, Model

Init = Literal["network", "random"]
SLOPE = 0.01  # of the leaky ReLU
TINY = 1e-12  # added to a squared norm, so that a zero embedding stays zero and has a finite gradient


class KernelMap(nn.Module, ABC):
    """f(x) = leaky(norm * a / |a|) per head, where a is the mean of the terms over the locations."""

    trunk: nn.Module  # starts as a copy of the network's
    readout: nn.Linear  # the last affine layer, the same at every location

    def __init__(self, trunk: nn.Module, width: int, *, n_heads: int, dim: int, norm: float) -> None:
        super().__init__()
        self.n_heads, self.dim, self.norm = n_heads, dim, norm
        self.trunk = trunk
        self.readout = nn.Linear(width, n_heads * dim)

    @abstractmethod
    def hidden(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch hidden place"]:
        """Return the features before the last affine layer at each location."""

    @abstractmethod
    def grid(self, x: Float[Tensor, "batch *feature"]) -> tuple[int, int] | None:
        """Return height and width of the grid of locations, or None for a table."""

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch head dim"]:
        """Return the embeddings; the mean is taken before the affine layer, which commutes with it."""
        a = self.readout(self.hidden(x).mean(-1)).unflatten(-1, (self.n_heads, self.dim))
        return nn.functional.leaky_relu(a * self._rate(a), SLOPE)

    def locations(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch head dim place"]:
        """Return each location's term of the embedding: over the locations they sum to `forward(x)`."""
        hidden = self.hidden(x)
        terms = self.readout(hidden.mT).mT.unflatten(1, (self.n_heads, self.dim)) / hidden.shape[-1]
        a = terms.sum(-1)
        return terms * (self._rate(a) * torch.where(a < 0, SLOPE, 1.0))[..., None]

    def _rate(self, a: Float[Tensor, "batch head dim"]) -> Float[Tensor, "batch head 1"]:
        """Return what an embedding is multiplied by to have the norm."""
        return self.norm * torch.rsqrt(a.square().sum(-1, keepdim=True) + TINY)


class ImageMap(KernelMap):
    """Kernel map of images: a convolutional trunk and two 1x1 convolutions."""

    def __init__(self, trunk: nn.Module, shape, width: int, *, n_heads: int, dim: int, norm: float) -> None:
        channels, *grid = shape
        super().__init__(trunk, width, n_heads=n_heads, dim=dim, norm=norm)
        self.widen = nn.Conv2d(channels, width, 1)
        self.position = nn.Parameter(torch.zeros(width, *grid))

    def hidden(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch hidden place"]:
        """Return the rectified output of the first 1x1 convolution."""
        return (self.widen(self.trunk(x)) + self.position).relu().flatten(2)

    def grid(self, x: Float[Tensor, "batch channel height width"]) -> tuple[int, int]:
        """Return height and width of the trunk's map."""
        with torch.no_grad():
            height, width = self.trunk(x[:1]).shape[2:]
        return int(height), int(width)


class TableMap(KernelMap):
    """Kernel map of tables: the network's embedding and two affine layers."""

    def __init__(self, trunk: nn.Module, features: int, width: int, *, n_heads: int, dim: int, norm: float) -> None:
        super().__init__(trunk, width, n_heads=n_heads, dim=dim, norm=norm)
        self.widen = nn.Linear(features, width)

    def hidden(self, x: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch hidden 1"]:
        """Return the last hidden layer, at a single location."""
        return self.widen(self.trunk(x)).relu()[..., None]

    def grid(self, x: Float[Tensor, "batch feature"]) -> None:
        """Return None: a table has no locations."""


class Embedding(nn.Module):
    """A network's `embed` as a module."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = model
        self.network.head = nn.Identity()  # not used; an artefact need not carry it

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch width"]:
        """Return the penultimate features."""
        return self.network.embed(x)


def kernel_map(
    model: Model, data: Dataset, n_heads: int, *, dim: int, width: int, norm: float, init: Init, seed: int
) -> KernelMap:
    """Return an untrained kernel map for this network, in eval mode; the global random state is left as it was.

    Raises:
        ValueError: an image network without the attribute `trunk`, a module that maps images to [batch, channel, h, w].
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        trunk = _trunk(model, data.is_image, init)
        with torch.no_grad():
            shape = trunk(data.train.x[:1]).shape
        if len(shape) != (4 if data.is_image else 2):
            raise ValueError(f"{type(model).__name__}.trunk must return [batch, channel, h, w], got {tuple(shape)}.")
        kind = ImageMap if data.is_image else TableMap
        return kind(trunk, shape[1:] if data.is_image else shape[1], width, n_heads=n_heads, dim=dim, norm=norm).eval()


def _trunk(model: Model, is_image: bool, init: Init) -> nn.Module:
    """Return a trainable copy of the network's trunk on the CPU, in eval mode, with its weights or with new ones."""
    trunk = getattr(model, "trunk", None) if is_image else Embedding(deepcopy(model))
    if not isinstance(trunk, nn.Module):
        raise ValueError(
            f"{type(model).__name__} must have a module `trunk` that maps images to [batch, channel, h, w]; GPEX's kernel "
            "map for images is built on a copy of it."
        )
    trunk = deepcopy(trunk).cpu().eval().requires_grad_(True)
    if init == "random":
        for module in trunk.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
    return trunk


def spread(values: Float[Tensor, "batch row column"], size: tuple[int, int]) -> Float[Tensor, "batch height width"]:
    """Enlarge maps to (height, width) so that each keeps its sum.

    Every cell is spread over the pixels around its centre with a triangular weight that sums to 1 per cell: the smooth
    form of dividing a cell's relevance among its pixels.
    """
    vertical = _triangles(values.shape[1], size[0]).to(values)
    horizontal = _triangles(values.shape[2], size[1]).to(values)
    return vertical @ values @ horizontal.T


def _triangles(n_cells: int, n_pixels: int) -> Float[Tensor, "pixel cell"]:
    """Return the weight of each cell at each pixel; columns sum to 1.

    A triangle as wide as two cells, but never narrower than the distance of two pixels: each cell then reaches a pixel.
    """
    pixel = (torch.arange(n_pixels, dtype=torch.float64) + 0.5) / n_pixels
    cell = (torch.arange(n_cells, dtype=torch.float64) + 0.5) / n_cells
    reach = max(1 / n_cells, 1 / n_pixels)
    weight = (1 - (pixel[:, None] - cell).abs() / reach).clamp(min=0)
    return weight / weight.sum(0)

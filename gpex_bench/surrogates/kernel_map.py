"""The trainable kernel map f: x -> [head, dim]; the kernel of a head is k(x, x') = f(x) . f(x').

As in the paper (Akbarnejad et al. 2023, supplement): trunk -> 1x1 convolution -> ReLU -> 1x1 convolution -> spatial
mean -> unit norm per head -> leaky ReLU. Up to the norm the embedding is a mean over the locations of the trunk's
map, so every inner product with it splits exactly into a map: `locations` gives the terms. A table is one location.

What differs from the paper:

- The trunk starts as a copy of the explained network's trunk (`init: random` gives the same trunk new weights),
  where the paper trains a ResNet-50 from scratch: it takes far fewer steps, and the features start from what the
  network computes. The kernel still is trained, and is not the network's own.
- Each location has a bias of its own before the ReLU. A small trunk sees a few pixels at a time, and the mean would
  forget where; a network with a dense layer on its map does not. The terms still sum exactly.
- The norm is 1 as in the paper's text, not 0.1 as in its code.

The trunk's batch-norm layers keep the running statistics of the explained network (eval mode): mixed inputs and
training samples pass in one batch, so that batch statistics would let them influence one another, and would give a
sample another embedding in training than afterwards. Their affine parameters are trained.
"""

from __future__ import annotations

from abc import abstractmethod
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gpex_bench.surrogates.features import FeatureMap
from gpex_bench.types import Dataset, Model

Init = Literal["network", "random"]
SLOPE = 0.01  # of the leaky ReLU
TINY = 1e-12  # added to a squared norm, so that a zero embedding stays zero and has a finite gradient


@dataclass(frozen=True)
class Sizes:
    """Sizes of a kernel map."""

    n_heads: int
    dim: int  # of each head's kernel space
    width: int  # of the hidden layer
    norm: float  # of an embedding before the leaky ReLU


class KernelMap(FeatureMap):
    """f(x) = leaky(norm * a / |a|) per head, where a is the mean of the readout over the locations."""

    def __init__(self, trunk: nn.Module, sizes: Sizes) -> None:
        super().__init__()
        self.n_heads, self.dim, self.norm = sizes.n_heads, sizes.dim, sizes.norm
        self.trunk = trunk
        self.readout = nn.Linear(sizes.width, sizes.n_heads * sizes.dim)  # the same at every location

    @abstractmethod
    def hidden(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch hidden place"]:
        """Return the features before the readout at each location."""

    @abstractmethod
    def grid(self, x: Float[Tensor, "batch *feature"]) -> tuple[int, int] | None:
        """Return height and width of the grid of locations, or None for a table."""

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch head dim"]:
        """Return the embeddings; the mean is taken before the affine readout, which commutes with it."""
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
    """Kernel map of images: a convolutional trunk, and two 1x1 convolutions on its map."""

    def __init__(self, trunk: nn.Module, shape: torch.Size, sizes: Sizes) -> None:
        """Take the trunk and the shape of its map, [channel, height, width]."""
        super().__init__(trunk, sizes)
        self.widen = nn.Conv2d(shape[0], sizes.width, 1)
        self.position = nn.Parameter(torch.zeros(sizes.width, *shape[1:]))

    def hidden(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch hidden place"]:
        """Return the rectified output of the first 1x1 convolution."""
        return (self.widen(self.trunk(x)) + self.position).relu().flatten(2)

    def grid(self, x: Float[Tensor, "batch channel height width"]) -> tuple[int, int]:
        """Return height and width of the trunk's map."""
        height, width = self.position.shape[1:]
        return height, width


class TableMap(KernelMap):
    """Kernel map of tables: two affine layers on the trunk's features."""

    def __init__(self, trunk: nn.Module, shape: torch.Size, sizes: Sizes) -> None:
        """Take the trunk and the shape of its features, [feature]."""
        super().__init__(trunk, sizes)
        self.widen = nn.Linear(shape[0], sizes.width)

    def hidden(self, x: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch hidden 1"]:
        """Return the hidden layer, at a single location."""
        return self.widen(self.trunk(x)).relu()[..., None]

    def grid(self, x: Float[Tensor, "batch feature"]) -> None:
        """Return None: a table has no locations."""


def kernel_map(model: Model, data: Dataset, sizes: Sizes, init: Init, seed: int) -> KernelMap:
    """Return an untrained kernel map for this network, on the CPU and in eval mode; no global random state changes.

    Raises:
        ValueError: the network has no module `trunk` that maps images to [batch, channel, height, width], or the rows
            of a table to [batch, feature].
    """
    kind, place = (ImageMap, "[batch, channel, height, width]") if data.is_image else (TableMap, "[batch, feature]")
    trunk = getattr(model, "trunk", None)
    name = type(model).__name__
    if not isinstance(trunk, nn.Module):
        raise ValueError(f"{name} must have a module `trunk` that returns {place}; GPEX's kernel map starts from it.")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        trunk = deepcopy(trunk).cpu().eval().requires_grad_(True)
        if init == "random":
            for module in trunk.modules():
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
        with torch.no_grad():
            shape = trunk(data.train.x[:1]).shape
        if len(shape) != (4 if data.is_image else 2):
            raise ValueError(f"{name}.trunk must return {place}, got shape {tuple(shape)}.")
        return kind(trunk, shape[1:], sizes).eval()

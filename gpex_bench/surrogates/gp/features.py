"""What a weight-space Gaussian process needs of a feature map."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn


class FeatureMap(nn.Module, ABC):
    """f: x -> [group, dim]; the kernel of a group of heads is k(x, x') = f(x) . f(x')."""

    @abstractmethod
    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch group dim"]:
        """Return the embeddings; rows do not influence one another."""

    def grid(self, x: Float[Tensor, "batch *feature"]) -> tuple[int, int] | None:
        """Return height and width of the grid of locations, or None without locations."""
        return None

    def locations(
        self, x: Float[Tensor, "batch *feature"]
    ) -> Float[Tensor, "batch group dim place"]:
        """Return each location's term of the embedding, row by row of the grid; they sum to it."""
        return self(x)[..., None]

    def with_locations(
        self, x: Float[Tensor, "batch *feature"]
    ) -> tuple[Float[Tensor, "batch group dim"], Float[Tensor, "batch group dim place"]]:
        """Return the embeddings and each location's term of them."""
        return self(x), self.locations(x)

    def observe(
        self, x: Float[Tensor, "batch *feature"]
    ) -> tuple[Float[Tensor, "batch group dim"], Float[Tensor, "batch head"] | None]:
        """Return the embeddings and the variance of the observation noise of each output at x.

        The variance is that of standardised outputs. None: it is the noise s2 of the process, the
        same everywhere.
        """
        return self(x), None


def spread(
    values: Float[Tensor, "batch row column"], size: tuple[int, int]
) -> Float[Tensor, "batch height width"]:
    """Enlarge maps to (height, width) so that each keeps its sum.

    Every cell is spread over the pixels around its centre with a triangular weight that sums to 1
        per cell: the smooth
    form of dividing a cell's relevance among its pixels.
    """
    vertical = _triangles(values.shape[1], size[0]).to(values)
    horizontal = _triangles(values.shape[2], size[1]).to(values)
    return vertical @ values @ horizontal.T


def _triangles(n_cells: int, n_pixels: int) -> Float[Tensor, "pixel cell"]:
    """Return the weight of each cell at each pixel; columns sum to 1.

    A triangle as wide as two cells, but never narrower than the distance of two pixels: each cell
        then reaches a pixel.
    """
    pixel = (torch.arange(n_pixels, dtype=torch.float64) + 0.5) / n_pixels
    cell = (torch.arange(n_cells, dtype=torch.float64) + 0.5) / n_cells
    reach = max(1 / n_cells, 1 / n_pixels)
    weight = (1 - (pixel[:, None] - cell).abs() / reach).clamp(min=0)
    return weight / weight.sum(0)

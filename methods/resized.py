"""Resized: another explainer's map averaged over the cells of a grid.

Relevance pooling, R_cell = sum of R_i in the cell (montavon2018methods), with each cell's relevance
spread evenly over its pixels, channel by channel, so that the sum of the map stays.
"""

import torch
from torch import Tensor

from gpex_bench.families.wrapper import Wrapper
from gpex_bench.types import Need, demands, settings


@settings
class Resized(Wrapper):
    """Another explainer's attribution, averaged over the cells of a grid."""

    reference = "montavon2018methods"
    asks = frozenset({Need.IMAGE})
    keeps_sum = True
    cost = "that of the other explainer"

    grid: int = 7  # cells along each side of the image

    def __post_init__(self) -> None:
        """Refuse a grid without cells."""
        super().__post_init__()
        demands.at_least(self, 1, "grid")

    def change(self, values: Tensor) -> Tensor:
        """Return the map of cell means."""
        sides = values.shape[2:]
        if self.grid > min(sides):
            raise ValueError(
                f"grid must be at most the image's shorter side {min(sides)}, got {self.grid}."
            )
        across, along = (self._averages(side).to(values) for side in sides)
        return across @ values @ along.T

    def _averages(self, side: int) -> Tensor:
        """Return [to, from]: the share of a pixel's relevance that each pixel of its line gets."""
        cell = torch.arange(side) * self.grid // side
        same = (cell[:, None] == cell).double()
        return same / same.sum(1)

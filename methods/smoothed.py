"""Smoothed: another explainer's map after a Gaussian blur; of a control, a control.

Blurring maps is common and changes scores, which is why it is a method of its own and no flag:
pixel-wise noise costs scores that remove patches (samek2017evaluating removes 9 x 9 regions for
this reason). Each pixel spreads all of its relevance within the image, so that the sum of the map
stays (ours; a usual blur loses some at the border).
"""

import torch
from torch import Tensor

from gpex_bench.families.wrapper import Wrapper
from gpex_bench.types import Need, Role, settings


@settings
class Smoothed(Wrapper):
    """Another explainer's attribution after a Gaussian blur."""

    reference = "samek2017evaluating"
    role = Role.BLURRED
    asks = frozenset({Need.IMAGE})
    keeps_sum = True
    cost = "that of the other explainer"

    width: float = 1.5  # s.d. of the blur in pixels

    def __post_init__(self) -> None:
        """Refuse a blur without a width."""
        super().__post_init__()
        if not self.width > 0:
            raise ValueError(f"width must be positive, got {self.width}.")

    def change(self, values: Tensor) -> Tensor:
        """Return the blurred map."""
        across, along = (self._spread(side).to(values) for side in values.shape[2:])
        return across @ values @ along.T

    def _spread(self, side: int) -> Tensor:
        """Return [to, from]: the share of a pixel's relevance that each pixel of its line gets."""
        place = torch.arange(side, dtype=torch.float64)
        return (-(place[:, None] - place).square() / (2 * self.width**2)).softmax(0)

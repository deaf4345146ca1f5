"""Pointing game: is the most relevant position on the planted evidence? (zhang2018top).

1 if it is and 0 if not; where several positions share the largest relevance, the share of them that
is inside, so that a constant map scores what a random one does. The paper allows for 15 pixels
around the object, which planted masks do not need. Taken over whole pixels, with sign.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from gpex_bench.measurements.planted import TruthMetric
from gpex_bench.types import settings


def hit(
    values: Float[Tensor, "batch position"], inside: Bool[Tensor, "batch position"]
) -> Float[Tensor, "batch"]:
    """Return the share of each row's largest values that is inside."""
    largest = values == values.amax(1, keepdim=True)
    return (largest & inside).sum(1).double() / largest.sum(1)


@settings
class PointingGame(TruthMetric):
    """Whether the most relevant position is on the evidence."""

    title = "pointing game"
    reference = "zhang2018top"
    chance = None  # the share of the input that the evidence covers
    cost = "none"

    def compare(self, values: Tensor, inside: Tensor) -> Float[Tensor, "batch"]:
        """Return the hit of each sample."""
        return hit(values, inside)

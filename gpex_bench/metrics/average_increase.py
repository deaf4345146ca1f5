"""Average increase: is the network surer when it sees the input through its map?

Source: chattopadhay2018grad. 1 if f(x~) > f(x), else 0, with x~ as in `average_drop`; its mean over
samples is the paper's increase in confidence.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.seen import MaskedMetric, Seen
from gpex_bench.types import settings


@settings
class AverageIncrease(MaskedMetric):
    """Whether the probability rises when the input is seen through its map."""

    title = "average increase"
    reference = "chattopadhay2018grad"
    higher_is_better = True
    caveat = (
        "A yes or no: where nothing in the input is evidence against the target, no map makes the "
        "network surer."
    )
    cost = "shared with `average_drop`"

    def compare(self, seen: Seen) -> Float[Tensor, "batch"]:
        """Return 1 or 0 for each sample."""
        return (seen.masked > seen.intact).double()

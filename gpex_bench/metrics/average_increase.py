"""Average increase: is the network surer when it sees the input through its map (chattopadhay2018grad)?

1 if f(x~) > f(x), else 0, with x~ as in `average_drop`; its mean over samples is the paper's
increase in confidence.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.seen import Masked
from gpex_bench.types import Case, Metric, settings


@settings
class AverageIncrease(Metric):
    """Whether the probability rises when the input is seen through its map."""

    title = "average increase"
    reference = "chattopadhay2018grad"
    measures = "faithfulness"
    higher_is_better = True
    range = (0.0, 1.0)
    chance = None
    caveat = "A yes or no: where nothing in the input speaks against the target, no map makes the network surer."
    cost = "shared with `average_drop`"

    def measurements(self) -> tuple[Masked]:
        """Return the input seen through its map."""
        return (Masked(),)

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return 1 or 0 for each sample."""
        seen = case.read(Masked())
        return (seen.masked > seen.intact).double()

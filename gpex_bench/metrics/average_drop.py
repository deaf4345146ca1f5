"""Average drop: which share of the probability is lost when the input is seen through its map.

Source: chattopadhay2018grad. max(0, f(x) - f(x~)) / f(x), where x~ fades to the baseline by the
positive relevance over its maximum (black and an element-wise product in the paper) and f is the
target's probability. An even map of ones hides nothing and scores a perfect 0: read it together
with a metric that removes the rest, such as `sufficiency`.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.seen import MaskedMetric, Seen
from gpex_bench.types import settings


@settings
class AverageDrop(MaskedMetric):
    """Share of the probability that is lost when the input is seen through its map."""

    title = "average drop"
    reference = "chattopadhay2018grad"
    higher_is_better = False
    blind_can_be_perfect = True  # an even map hides nothing
    caveat = (
        "A random map fades every pixel a little, and may lose as much as a map that hides all of "
        "the evidence."
    )
    cost = "2 forward rows per sample, shared with `average_increase`"

    def compare(self, seen: Seen) -> Float[Tensor, "batch"]:
        """Return the drop of each sample."""
        return (seen.intact - seen.masked).clamp(min=0) / seen.intact.clamp(min=1e-300)

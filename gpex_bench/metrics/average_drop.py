"""Average drop: which share of the probability is lost when the input is seen through its map (chattopadhay2018grad).

max(0, f(x) - f(x~)) / f(x), where x~ fades to the baseline by the positive relevance over its
maximum (black and an element-wise product in the paper) and f is the target's probability. An even
map of ones hides nothing and scores a perfect 0: read it beside a metric that wants the rest to go,
such as `sufficiency`.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.seen import Masked
from gpex_bench.types import Case, Metric, settings


@settings
class AverageDrop(Metric):
    """Share of the probability that is lost when the input is seen through its map."""

    title = "average drop"
    reference = "chattopadhay2018grad"
    measures = "faithfulness"
    higher_is_better = False
    range = (0.0, 1.0)
    chance = None
    caveat = "A random map fades every pixel a little, and may lose as much as a map that hides all of the evidence."
    cost = "2 forward rows per sample, shared with `average_increase`"

    def measurements(self) -> tuple[Masked]:
        """Return the input seen through its map."""
        return (Masked(),)

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the drop of each sample."""
        seen = case.read(Masked())
        return (seen.intact - seen.masked).clamp(min=0) / seen.intact.clamp(min=1e-300)

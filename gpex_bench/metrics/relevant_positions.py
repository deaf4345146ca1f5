"""Relevant positions: how many positions have more than a trace of relevance.

The number of positions with |a_i| > threshold * max |a| of the same map. Quantus calls this the
effective complexity of nguyen2020quantitative, which is another measure: see
`effective_complexity`. Quantus divides by the largest relevance of all samples together, so that a
score depends on the batch (here: of the sample). Taken over whole pixels. A map of zeros
has no largest relevance: all its positions count, as in every constant map.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import relevance
from gpex_bench.types import Case, Metric, settings


def n_above(values: Float[Tensor, "batch position"], threshold: float) -> Float[Tensor, "batch"]:
    """Return how many values of each row are larger than this share of its largest one.

    All, in a row of zeros.
    """
    size = values.double().abs()
    largest = size.amax(1, keepdim=True)
    is_more = size > threshold * largest
    counts = is_more | (largest == 0)
    return counts.sum(1).double()


@settings
class RelevantPositions(Metric):
    """Number of positions with more than a trace of relevance.

    Attributes:
        threshold: share of the largest relevance that counts as a trace, in [0, 1).
    """

    title = "number of relevant positions"
    reference = "nguyen2020quantitative"
    measures = "complexity"
    blind_can_be_perfect = True  # a single arbitrary pixel
    higher_is_better = False
    range = (0.0, float("inf"))
    chance = None  # depends on the number of positions
    cost = "none"

    threshold: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ValueError(f"threshold must be at least 0 and below 1, got {self.threshold}.")

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the count of each sample."""
        return n_above(relevance(case), self.threshold)

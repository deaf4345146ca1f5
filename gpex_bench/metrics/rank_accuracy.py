"""Relevance rank accuracy: which share of the K most relevant pixels is planted evidence (arras2022clevr).

K is the number of evidence pixels. Ties at the border of the top K count by their expectation under
a random order, so a constant map scores what a random one does.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from gpex_bench.measurements.maps import relevance
from gpex_bench.metrics.planted import evidence
from gpex_bench.types import Case, Metric, Need, settings


def top_inside(
    values: Float[Tensor, "batch position"], inside: Bool[Tensor, "batch position"]
) -> Float[Tensor, "batch"]:
    """Return the expected share of the top K that is inside, with K = inside.sum() >= 1 per row."""
    k = inside.sum(1, keepdim=True)
    border = values.sort(1, descending=True).values.gather(1, k - 1)
    above, tied = values > border, values == border
    tied_hits = (tied & inside).sum(1) / tied.sum(1) * (k[:, 0] - above.sum(1))
    return ((above & inside).sum(1) + tied_hits).double() / k[:, 0]


@settings
class RankAccuracy(Metric):
    """Share of the most relevant positions that is evidence."""

    title = "relevance rank accuracy"
    reference = "arras2022clevr"
    measures = "truth"
    higher_is_better = True
    range = (0.0, 1.0)
    chance = None  # the share of the input that the evidence covers
    needs = frozenset({Need.TRUTH})
    cost = "none"

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the share of each sample."""
        return top_inside(relevance(case), evidence(case))

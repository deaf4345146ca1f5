"""Faithfulness correlation: do subsets of features with more relevance matter more to the network?

bhatt2020evaluating: Pearson's correlation, over random subsets of equal size, between the summed
attribution and the fall of the target's logit when the subset is replaced by the baseline. The
subsets consist of square cells on images (a deviation: single pixels in the paper), because pixels
spread evenly hardly move a network. Cells at the border may be smaller, so that relevance and fall
are taken per position.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.similarity import pearson
from gpex_bench.measurements.subsets import SubsetsMetric
from gpex_bench.types import Case, settings


@settings
class FaithfulnessCorrelation(SubsetsMetric):
    """Correlation between removed relevance and fall of the logit; 0 for a constant map."""

    title = "faithfulness correlation"
    reference = "bhatt2020evaluating"
    higher_is_better = True
    range = (-1.0, 1.0)
    chance = 0.0
    cost = "`n_subsets` + 1 forward rows per sample, shared with `infidelity` and `sensitivity_n`"

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the correlation of each sample, of relevance and fall per position."""
        effects = case.read(self.measurements()[0])
        return self.compare(*effects.by_position)

    def compare(self, relevance: Tensor, drop: Tensor) -> Float[Tensor, "batch"]:
        """Return the correlation of each sample."""
        return pearson(relevance, drop)

"""Faithfulness correlation: do subsets of features with more relevance matter more to the network?

bhatt2020evaluating: Pearson's correlation, over random subsets of equal size, between the summed
attribution and the fall of the target's logit when the subset is replaced by the baseline. The
subsets consist of square cells on images (a deviation: single pixels in the paper), because pixels
spread evenly hardly move a network.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.subsets import Subsets
from gpex_bench.types import Case, Metric, settings

CONSTANT = 1e-9  # a spread below this part of the largest value is rounding in float64 sums


def pearson(a: Float[Tensor, "batch n"], b: Float[Tensor, "batch n"]) -> Float[Tensor, "batch"]:
    """Return the correlation of each pair of rows, in [-1, 1]; 0 if one of them is constant."""
    a, b = a.double(), b.double()
    spread = [row - row.mean(1, keepdim=True) for row in (a, b)]
    norms = [row.norm(dim=1) for row in spread]
    varies = (norms[0] > CONSTANT * a.norm(dim=1)) & (norms[1] > CONSTANT * b.norm(dim=1))
    correlation = (spread[0] * spread[1]).sum(1) / torch.where(varies, norms[0] * norms[1], 1.0)
    return torch.where(varies, correlation.clamp(-1, 1), 0.0)


@settings
class FaithfulnessCorrelation(Metric):
    """Correlation between removed relevance and fall of the logit; 0 for a constant map.

    Attributes:
        n_subsets: random subsets per sample, each one forward row.
        share: part of the cells in a subset, in (0, 1).
        patch: side of a cell of an image, pixels.
    """

    title = "faithfulness correlation"
    reference = "bhatt2020evaluating"
    measures = "faithfulness"
    higher_is_better = True
    range = (-1.0, 1.0)
    chance = 0.0
    cost = "`n_subsets` + 1 forward rows per sample, shared with `infidelity` and `sensitivity_n`"

    n_subsets: int = 24
    share: float = 0.25
    patch: int = 4

    def measurements(self) -> tuple[Subsets]:
        """Return the removals, which `infidelity` shares."""
        return (Subsets(n_subsets=self.n_subsets, share=self.share, patch=self.patch),)

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the correlation of each sample."""
        effects = case.read(self.measurements()[0])
        return pearson(effects.relevance, effects.drop)

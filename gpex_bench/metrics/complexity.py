"""Complexity: the entropy of the shares that positions have in the relevance (bhatt2020evaluating).

H = -sum p_i ln p_i with p_i = |a_i| / sum |a|, in nats: 0 for one position, ln n for n equal ones.
Taken over whole pixels (sum over the channels, then the magnitude). A map of zeros scores ln n,
like every constant map. Not informative about faithfulness.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import relevance
from gpex_bench.types import Case, Metric, settings


def entropy(values: Float[Tensor, "batch position"]) -> Float[Tensor, "batch"]:
    """Return the entropy of each row's shares in nats; that of equal shares for a row of zeros."""
    size = values.double().abs()
    largest = size.amax(1, keepdim=True)
    size = torch.where(
        largest > 0, size / torch.where(largest > 0, largest, 1.0), 1.0
    )  # sums cannot overflow
    return (
        torch.special.entr(size / size.sum(1, keepdim=True))
        .sum(1)
        .clamp(0, math.log(values.shape[1]))
    )


@settings
class Complexity(Metric):
    """Entropy of the shares of the relevance."""

    title = "complexity"
    reference = "bhatt2020evaluating"
    measures = "complexity"
    blind_can_be_perfect = True  # a single arbitrary pixel
    higher_is_better = False
    range = (0.0, float("inf"))
    chance = None  # depends on the number of positions
    cost = "none"

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the entropy of each sample."""
        return entropy(relevance(case))

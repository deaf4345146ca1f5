"""Localisation AUC: how well the relevance separates planted evidence from the rest.

Area under the ROC curve of the relevances against the mask: the probability that a position of the
evidence has more relevance than one outside, ties counting half (Mann-Whitney; hanley1982meaning).
Taken over whole pixels, with sign. A constant map scores 0.5, as a random one does; where all
positions are evidence there is nothing to separate, and every map scores 0.5.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gpex_bench.measurements.planted import TruthMetric
from gpex_bench.measurements.similarity import ranks
from gpex_bench.types import settings


def roc_area(
    values: Float[Tensor, "batch position"], inside: Bool[Tensor, "batch position"]
) -> Float[Tensor, "batch"]:
    """Return the area under each row's ROC curve, from the sum of the ranks inside.

    0.5 if one of the two is empty.
    """
    n_inside = inside.sum(1).double()
    n_outside = (~inside).sum(1).double()
    rank_sum = (ranks(values) * inside).sum(1)
    least_sum = n_inside * (n_inside + 1) / 2

    above = rank_sum - least_sum
    pairs = n_inside * n_outside
    area = above / pairs.clamp(min=1)
    return torch.where(pairs > 0, area, 0.5)


@settings
class LocalisationAUC(TruthMetric):
    """Area under the ROC curve of the relevance against the evidence."""

    title = "localisation AUC"
    reference = "hanley1982meaning"
    chance = 0.5
    cost = "none"

    def compare(self, values: Tensor, inside: Tensor) -> Float[Tensor, "batch"]:
        """Return the area of each sample."""
        return roc_area(values, inside)

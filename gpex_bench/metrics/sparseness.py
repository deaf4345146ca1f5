"""Sparseness: is the relevance on few features or spread over all? Gini index of the magnitudes.

Source: chalasani2020concise. Taken over whole pixels (sum over the channels, then the magnitude).
Not informative about faithfulness: one arbitrary pixel is the sparsest map of all.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import relevance
from gpex_bench.types import Case, Metric, settings


def gini(values: Float[Tensor, "batch position"]) -> Float[Tensor, "batch"]:
    """Return sum_i (2i - n - 1) |a|_(i) / (n sum |a|) with |a| ascending, in [0, 1 - 1/n].

    0 for a row of zeros.
    """
    ordered = values.double().abs().sort(1).values
    n = ordered.shape[1]
    place = torch.arange(1, n + 1, dtype=ordered.dtype, device=ordered.device)
    coefficient = 2 * place - n - 1

    total = ordered.sum(1)
    divisor = torch.where(total > 0, n * total, 1.0)
    weighted = (ordered * coefficient).sum(1)
    return (weighted / divisor).clamp(min=0)


@settings
class Sparseness(Metric):
    """Gini index of the relevance; 0 for a constant map and for a map of zeros."""

    title = "sparseness"
    reference = "chalasani2020concise"
    measures = "complexity"
    blind_can_be_perfect = True  # a single arbitrary pixel
    higher_is_better = True
    range = (0.0, 1.0)
    chance = (
        math.sqrt(2) - 1
    )  # of independent normal values, as the control `random_map` draws them
    cost = "none"

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the Gini index of each sample."""
        return gini(relevance(case))

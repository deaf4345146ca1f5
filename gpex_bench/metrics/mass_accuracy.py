"""Relevance mass accuracy: which share of the positive relevance lies on the planted evidence.

Source: arras2022clevr. Taken over whole pixels. Only relevance in favour of the target counts: with
signed sums, as some libraries do it, the share leaves [0, 1] and may reach any value.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gpex_bench.measurements.planted import TruthMetric
from gpex_bench.types import settings


def mass_inside(
    values: Float[Tensor, "batch position"],
    inside: Bool[Tensor, "batch position"],
    signed: bool = False,
) -> Float[Tensor, "batch"]:
    """Return the share of relevance inside; 0 if there is none to share out.

    Args:
        values: relevance of each position.
        inside: where the evidence is.
        signed: count negative relevance too, which leaves [0, 1]; for comparison with other
        libraries.
    """
    mass = values.double()
    if not signed:
        mass = mass.clamp(min=0)
    total = mass.sum(1)
    mass_on_evidence = (mass * inside).sum(1)
    return mass_on_evidence / torch.where(total != 0, total, 1.0)


@settings
class MassAccuracy(TruthMetric):
    """Share of the positive relevance on the evidence; 0 for a map without positive relevance."""

    title = "relevance mass accuracy"
    reference = "arras2022clevr"
    chance = None  # the share of the input that the evidence covers
    is_share_of_truth = True
    cost = "none"

    def compare(self, values: Tensor, inside: Tensor) -> Float[Tensor, "batch"]:
        """Return the share of each sample."""
        return mass_inside(values, inside)

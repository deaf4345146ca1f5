"""Relevance mass accuracy: which share of the positive relevance lies on the planted evidence (arras2022clevr).

Taken over whole pixels. Only relevance in favour of the target counts: with signed sums, as some
libraries do it, the share leaves [0, 1] and may reach any value.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gpex_bench.measurements.maps import relevance
from gpex_bench.metrics.planted import evidence
from gpex_bench.types import Case, Metric, Need, settings


def mass_inside(
    values: Float[Tensor, "batch position"],
    inside: Bool[Tensor, "batch position"],
    signed: bool = False,
) -> Float[Tensor, "batch"]:
    """Return the share of relevance inside; 0 if there is none to share out.

    Args:
        values: relevance of each position.
        inside: where the evidence is.
        signed: count negative relevance too, which leaves [0, 1]; for comparison with other libraries.
    """
    mass = values.double() if signed else values.double().clamp(min=0)
    total = mass.sum(1)
    return (mass * inside).sum(1) / torch.where(total != 0, total, 1.0)


@settings
class MassAccuracy(Metric):
    """Share of the positive relevance on the evidence; 0 for a map without positive relevance."""

    title = "relevance mass accuracy"
    reference = "arras2022clevr"
    measures = "truth"
    higher_is_better = True
    range = (0.0, 1.0)
    chance = None  # the share of the input that the evidence covers
    needs = frozenset({Need.TRUTH})
    is_share_of_truth = True
    cost = "none"

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the share of each sample."""
        return mass_inside(relevance(case), evidence(case))

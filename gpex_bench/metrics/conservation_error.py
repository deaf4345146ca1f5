"""Conservation error: how far a map's sum is from the sum that its method promises.

Montavon, Samek, Mueller 2018 (montavon2018methods) ask that the relevance of the inputs sums to the
explained output, |f - sum| / |f|. What a map should sum to is defined by the method (the logit, or
its change from a baseline), which gives the difference as `Attribution.residual`; methods without
one have nothing to conserve and get no score. A check of the rule and not of the map: the output
spread evenly over all pixels scores 0. The error is a share of the output, so outputs near zero
decide the mean over samples; they count as at least a millionth of the sum of the relevances' sizes
(ours).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import SMALLEST, values
from gpex_bench.types import Attribution, Case, Metric, Need, settings


@settings
class ConservationError(Metric):
    """Size of what is missing from the map's sum, as a share of what it should sum to."""

    title = "conservation error"
    reference = "montavon2018methods"
    measures = "axiom"
    blind_can_be_perfect = True  # an even map with the right sum
    higher_is_better = False
    range = (0.0, float("inf"))
    margin = 0.01  # of what the axiom asks for
    resolution = 1e-6
    chance = None
    needs = frozenset({Need.RESIDUAL})
    cost = "none"

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the error of each sample.

        Raises ValueError for an explanation without a residual.
        """
        relevance = values(case.explanation).double().flatten(1)
        total = relevance.sum(1)
        residual = case.explanation.residual if isinstance(case.explanation, Attribution) else None
        if residual is None:
            name = type(case.explainer).__name__
            raise ValueError(
                f"{name} gave no residual; score methods that offer one, see Explainer.offers."
            )
        residual = residual.double()
        least = SMALLEST * relevance.abs().sum(1)
        size = torch.maximum((residual + total).abs(), least)
        return residual.abs() / torch.where(size > 0, size, 1.0)

"""Infidelity: the squared error of a map as a forecast of what removals do to the logit.

Source: yeh2019fidelity. E[(I.a - (f(x) - f(x - I)))^2] over random removals I, which set cells of
the input to the baseline. Attributions here are global, that is already multiplied by x - baseline
(integrated gradients, LRP, occlusion), so I.a is the sum of the attribution over the removed
entries.

Two deviations, so that maps in different units can be compared:
- The map is scaled by the best non-negative factor. The authors' code uses the best factor of any
  sign, which forgives a map whose sign is flipped.
- The error is divided by E[(f(x) - f(x - I))^2], the error of a map of zeros. The score is then
  1 - max(0, cos)^2 with the cosine between forecasts and drops: 0 is a perfect forecast, 1 is no
  better than zeros.
`squared_error` and `best_scale` are the definition without the deviations; the tests hold them
against captum. `infidelity_raw` scores the definition itself.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.subsets import SubsetsMetric, squared_error
from gpex_bench.types import settings


def best_scale(
    relevance: Float[Tensor, "batch n"], drop: Float[Tensor, "batch n"]
) -> Float[Tensor, "batch"]:
    """Return the factor of either sign with the least squared error.

    0 if the relevance is all zero.
    """
    power = relevance.pow(2).sum(1)
    return (relevance * drop).sum(1) / torch.where(power > 0, power, 1.0)


def relative_error(
    relevance: Float[Tensor, "batch n"], drop: Float[Tensor, "batch n"]
) -> Float[Tensor, "batch"]:
    """Return the error with the best non-negative factor, over that of a map of zeros, in [0, 1].

    1 if the map is zero on all subsets, or if no removal changes the network's output.
    """
    scale = best_scale(relevance, drop).clamp(min=0)
    error = squared_error(relevance, drop, scale)
    of_zeros = drop.pow(2).mean(1)

    ratio = error / torch.where(of_zeros > 0, of_zeros, 1.0)
    return torch.where(of_zeros > 0, ratio, 1.0).clamp(0, 1)


@settings
class Infidelity(SubsetsMetric):
    """Error of a map as a forecast of removals, relative to that of a map of zeros."""

    title = "infidelity"
    reference = "yeh2019fidelity"
    higher_is_better = False
    range = (0.0, 1.0)
    chance = None
    cost = (
        "`n_subsets` + 1 forward rows per sample, shared with `faithfulness_correlation` and "
        "`sensitivity_n`"
    )

    def compare(self, relevance: Tensor, drop: Tensor) -> Float[Tensor, "batch"]:
        """Return the relative error of each sample."""
        return relative_error(relevance, drop)

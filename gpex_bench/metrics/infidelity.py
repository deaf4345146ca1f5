"""Infidelity: the squared error of a map as a forecast of what removals do to the logit (yeh2019fidelity).

E[(I.a - (f(x) - f(x - I)))^2] over random removals I, which set cells of the input to the baseline. Attributions here
are global, that is already multiplied by x - baseline (integrated gradients, LRP, occlusion), so I.a is the sum of the
attribution over the removed entries.

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

from gpex_bench.measurements.subsets import Subsets
from gpex_bench.types import Case, Metric, settings


def squared_error(
    relevance: Float[Tensor, "batch n"],
    drop: Float[Tensor, "batch n"],
    scale: Float[Tensor, "batch"],
) -> Float[Tensor, "batch"]:
    """Return the mean of (scale * relevance - drop)^2; scale 1 is the definition of the paper."""
    return (scale[:, None] * relevance - drop).pow(2).mean(1)


def best_scale(
    relevance: Float[Tensor, "batch n"], drop: Float[Tensor, "batch n"]
) -> Float[Tensor, "batch"]:
    """Return the factor of either sign with the least squared error; 0 if the relevance is all zero."""
    power = relevance.pow(2).sum(1)
    return (relevance * drop).sum(1) / torch.where(power > 0, power, 1.0)


def relative_error(
    relevance: Float[Tensor, "batch n"], drop: Float[Tensor, "batch n"]
) -> Float[Tensor, "batch"]:
    """Return the error with the best non-negative factor, over that of a map of zeros, in [0, 1].

    1 if the map is zero on all subsets, or if no removal changes the network's output.
    """
    error = squared_error(relevance, drop, best_scale(relevance, drop).clamp(min=0))
    nothing = drop.pow(2).mean(1)
    return torch.where(nothing > 0, error / torch.where(nothing > 0, nothing, 1.0), 1.0).clamp(0, 1)


@settings
class Infidelity(Metric):
    """Error of a map as a forecast of removals, relative to that of a map of zeros.

    Attributes:
        n_subsets: random removals per sample, each one forward row.
        share: part of the cells in a removal, in (0, 1).
        patch: side of a cell of an image, pixels.
    """

    title = "infidelity"
    reference = "yeh2019fidelity"
    measures = "faithfulness"
    higher_is_better = False
    range = (0.0, 1.0)
    chance = None
    cost = (
        "`n_subsets` + 1 forward rows per sample, shared with `faithfulness_correlation` and "
        "`sensitivity_n`"
    )

    n_subsets: int = 24
    share: float = 0.25
    patch: int = 4

    def measurements(self) -> tuple[Subsets]:
        """Return the removals, which `faithfulness_correlation` shares."""
        return (Subsets(n_subsets=self.n_subsets, share=self.share, patch=self.patch),)

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the relative error of each sample."""
        effects = case.read(self.measurements()[0])
        return relative_error(effects.relevance, effects.drop)

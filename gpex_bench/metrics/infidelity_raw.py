"""Infidelity as defined: the squared error of a map as a forecast of what removals do to the logit.

Source: yeh2019fidelity. E[(I.a - (f(x) - f(x - I)))^2] over random removals I, without any scaling
of the map; `infidelity` is the scaled one. Attributions are global here (already multiplied by x -
baseline), so I.a is the sum of the attribution over what is removed, as with captum's
`multiply_by_inputs`. The removals are square cells that become the baseline. The score is in
squared logits and depends on the units of the map: it can only compare maps that are meant to sum
to a change of the logit.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.subsets import SubsetsMetric, squared_error
from gpex_bench.types import settings


@settings
class InfidelityRaw(SubsetsMetric):
    """Squared error of a map, as it is, as a forecast of removals."""

    title = "infidelity as defined"
    reference = "yeh2019fidelity"
    higher_is_better = False
    range = (0.0, float("inf"))
    chance = None
    caveat = (
        "Ruled by the units of the map: a planted mask, which is not in logits, can lose to small "
        "random numbers."
    )
    cost = (
        "`n_subsets` + 1 forward rows per sample, shared with `infidelity`, "
        "`faithfulness_correlation` and `sensitivity_n`"
    )

    def compare(self, relevance: Tensor, drop: Tensor) -> Float[Tensor, "batch"]:
        """Return the error of each sample."""
        unscaled = torch.ones(len(drop)).to(drop)
        return squared_error(relevance, drop, unscaled)

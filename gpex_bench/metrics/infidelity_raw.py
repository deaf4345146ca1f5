"""Infidelity as defined: the squared error of a map as a forecast of what removals do to the logit (yeh2019fidelity).

E[(I.a - (f(x) - f(x - I)))^2] over random removals I, without any scaling of the map; `infidelity`
is the scaled one. Attributions are global here (already multiplied by x - baseline), so I.a is the
sum of the attribution over what is removed, as with captum's `multiply_by_inputs`. The removals are
square cells that become the baseline. In squared logits, and ruled by the units of the map: only
maps that claim to sum to a change of the logit can be compared by it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.subsets import Subsets
from gpex_bench.metrics.infidelity import squared_error
from gpex_bench.types import Case, Metric, settings


@settings
class InfidelityRaw(Metric):
    """Squared error of a map, as it is, as a forecast of removals.

    Attributes:
        n_subsets: random removals per sample, each one forward row.
        share: part of the cells in a removal, in (0, 1).
        patch: side of a cell of an image, pixels.
    """

    title = "infidelity as defined"
    reference = "yeh2019fidelity"
    measures = "faithfulness"
    higher_is_better = False
    range = (0.0, float("inf"))
    chance = None
    caveat = "Ruled by the units of the map: a planted mask, which is not in logits, can lose to small random numbers."
    cost = (
        "`n_subsets` + 1 forward rows per sample, shared with `infidelity`, "
        "`faithfulness_correlation` and `sensitivity_n`"
    )

    n_subsets: int = 24
    share: float = 0.25
    patch: int = 4

    def measurements(self) -> tuple[Subsets]:
        """Return the removals."""
        return (Subsets(n_subsets=self.n_subsets, share=self.share, patch=self.patch),)

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the error of each sample."""
        effects = case.read(self.measurements()[0])
        return squared_error(
            effects.relevance, effects.drop, torch.ones(len(effects.drop)).to(effects.drop)
        )

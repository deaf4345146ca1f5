"""Selectivity with recomputation: the map is made again after each removal (montavon2018methods).

The paper's loop, "record f(x), find the most relevant feature, remove it", read with the relevance
of the current input: mean over f(x_0), f(x_1), ... by the trapezoid rule, where x_k+1 lacks the
patches (4 x 4 pixels, or columns) that are most relevant in the map of x_k. Deviation: 6 steps in
place of one per patch, since each needs an explanation. The inputs leave the data step by step, so
an explainer that is only good on intact inputs loses here.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.order import area
from gpex_bench.measurements.answers import OUTPUTS
from gpex_bench.measurements.recomputed import Recomputed
from gpex_bench.types import Case, Metric, settings


@settings
class SelectivityRecomputed(Metric):
    """Area under the logit while the patches that are most relevant by then go first.

    Attributes:
        n_steps: steps of the curve.
    """

    title = "selectivity with recomputation"
    reference = "montavon2018methods"
    measures = "faithfulness"
    higher_is_better = False
    range = (float("-inf"), float("inf"))
    chance = None
    cost = "`n_steps` - 1 further explanations and `n_steps` + 1 forward rows per sample"

    n_steps: int = 6

    def measurements(self) -> tuple[Recomputed]:
        """Return the removal that follows new explanations."""
        return (Recomputed(n_steps=self.n_steps),)

    def __post_init__(self) -> None:
        self.measurements()  # checks the setting

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the area of each sample."""
        trail = case.read(self.measurements()[0])
        return area(trail.outputs[OUTPUTS.index("logit")], trail.fraction)

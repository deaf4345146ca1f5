"""Implementation error: does the map change when the same function is written with other layers?

Implementation invariance of sundararajan2017axiomatic: ||a' - a|| / ||a||, where a' is the map of
the network behind two more layers that together do nothing, x = c + relu(x - c) - relu(c - x).
Outputs and gradients are the same up to rounding; rules that propagate relevance from layer to
layer, and those that change the gradient of a ReLU, see the difference. The construction is ours.
The explainer keeps its seed. Only the numerator for a map of zeros; 0 for a map that ignores the
network.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.altered import Altered
from gpex_bench.measurements.maps import values
from gpex_bench.measurements.noisy import relative_change
from gpex_bench.types import Case, Metric, settings


@settings
class ImplementationError(Metric):
    """Relative change of the map under another implementation of the same function."""

    title = "implementation error"
    reference = "sundararajan2017axiomatic"
    measures = "axiom"
    blind_can_be_perfect = True  # a constant map never changes
    higher_is_better = False
    range = (0.0, float("inf"))
    margin = 0.01  # of what the axiom asks for
    resolution = 1e-6
    chance = 0.0  # a random map that does not look at the network stays the same
    cost = "1 explanation"

    def measurements(self) -> tuple[Altered]:
        """Return the maps of the rewritten network."""
        return (Altered(how="rewritten"),)

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the relative change of each sample."""
        return relative_change(
            values(case.explanation), case.read(self.measurements()[0]).values[:, 0]
        )

"""Symmetry error: do inputs that play the same role get the same relevance?

Source: sundararajan2017axiomatic. Symmetry-preserving: if exchanging two inputs does not change the
function, and they have equal values in the input and in the baseline, they get equal relevance.
Networks are not symmetric, so one is made: g(x) = (f(x) + f(mirrored x)) / 2 with left and right
exchanged (columns of a table: in reverse order), explained at (x + mirrored x) / 2. The score is
||a - mirrored a|| / (2 ||a||), in [0, 1]: 0 is symmetric, 1 antisymmetric; 0 for a map of zeros.
Methods that cut the image into segments or draw random numbers break the symmetry themselves; the
score shows this. Read from the map of that network, so the scored map itself does not count.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.altered import Altered
from gpex_bench.measurements.maps import values
from gpex_bench.models.altered.for_axioms import mirrored
from gpex_bench.types import Case, Metric, settings


@settings
class SymmetryError(Metric):
    """Asymmetry of the map of a symmetric network at a symmetric input."""

    title = "symmetry error"
    reference = "sundararajan2017axiomatic"
    measures = "axiom"
    blind_can_be_perfect = True  # a constant map is symmetric
    higher_is_better = False
    range = (0.0, 1.0)
    margin = 0.01  # of what the axiom asks for
    resolution = 1e-6
    chance = None  # about 0.71: two halves with independent values
    cost = "1 explanation, of a network of twice the size"

    def measurements(self) -> tuple[Altered]:
        """Return the maps of the symmetric network."""
        return (Altered(how="mirrored"),)

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the asymmetry of each sample."""
        values(case.explanation)  # refuses other kinds
        altered = case.read(self.measurements()[0])
        maps = altered.values[:, 0].double()
        size = maps.flatten(1).norm(dim=1)

        difference = maps - mirrored(maps)
        off = difference.flatten(1).norm(dim=1)
        most = torch.where(size > 0, 2 * size, 1.0)
        return off / most

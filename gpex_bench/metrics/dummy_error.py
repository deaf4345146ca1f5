"""Dummy error: the share of the relevance that goes to inputs which the network cannot see.

The axiom (friedman2004paths; sensitivity (b) of sundararajan2017axiomatic): an input that the
function does not depend on gets no relevance. On a trained network every input has some effect, so
the same weights are explained with a quarter of the input blinded (drawn by cells of 4 x 4 pixels,
set to zero before the first layer): sum of |a| there over the sum of |a|, in [0, 1]. A random map
scores about a quarter, a map of zeros 0. Read from the map of the blinded network, so the scored
map itself does not count.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.altered import Altered, unseen
from gpex_bench.measurements.maps import values
from gpex_bench.types import Case, Metric, settings


@settings
class DummyError(Metric):
    """Share of the absolute relevance on inputs that do not reach the blinded network."""

    title = "dummy error"
    reference = "friedman2004paths"
    measures = "axiom"
    higher_is_better = False
    range = (0.0, 1.0)
    margin = 0.01  # of what the axiom asks for
    resolution = 1e-6
    chance = None  # the share of the input that is blinded: a quarter, up to whole cells
    cost = "1 explanation"

    def measurements(self) -> tuple[Altered]:
        """Return the maps of the blinded network."""
        return (Altered(how="blind"),)

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the share of each sample."""
        values(case.explanation)  # refuses other kinds
        altered = case.read(self.measurements()[0])
        size = altered.values[:, 0].double().abs()
        total = size.flatten(1).sum(1)

        on_unseen = size * unseen(case)
        lost = on_unseen.flatten(1).sum(1)
        return lost / torch.where(total > 0, total, 1.0)

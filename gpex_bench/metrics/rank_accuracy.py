"""Relevance rank accuracy: which share of the K most relevant pixels is planted evidence.

Source: arras2022clevr. K is the number of evidence pixels. Ties at the border of the top K count by
their expectation under a random order, so a constant map scores what a random one does.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.planted import TruthMetric, top_inside
from gpex_bench.types import settings


@settings
class RankAccuracy(TruthMetric):
    """Share of the most relevant positions that is evidence."""

    title = "relevance rank accuracy"
    reference = "arras2022clevr"
    chance = None  # the share of the input that the evidence covers
    cost = "none"

    def compare(self, values: Tensor, inside: Tensor) -> Float[Tensor, "batch"]:
        """Return the share of each sample."""
        return top_inside(values, inside)

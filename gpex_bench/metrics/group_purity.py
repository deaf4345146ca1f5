"""Group purity: which share of the given training examples was planted to support the sample.

The identical-subclass test of hanawa2021evaluation on generated data, where the group that decides
the class of a sample is known; with all given examples instead of the first one.
"""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from gpex_bench.measurements.examples import ExamplesMetric
from gpex_bench.measurements.planted import groups
from gpex_bench.types import Case, Examples, Need, settings


@settings
class GroupPurity(ExamplesMetric):
    """Share of the examples from the planted group of the sample."""

    title = "group purity"
    reference = "hanawa2021evaluation"
    chance = None  # the share of the group in the training data
    needs = frozenset({Need.TRUTH})
    cost = "none"

    def is_same(self, case: Case, given: Examples) -> Bool[Tensor, "batch k"]:
        """Return which examples were planted to support the sample."""
        own, train = groups(case)
        return train[given.index] == own[:, None]

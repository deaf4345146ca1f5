"""Class purity: which share of the given training examples bears the explained class.

The identical-class test of hanawa2021evaluation, with all given examples instead of the first one.
A network's errors are counted too: the target is the class that is explained, the label is the one
in the training data.
"""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from gpex_bench.measurements.examples import ExamplesMetric
from gpex_bench.types import Case, Examples, Need, settings


@settings
class ClassPurity(ExamplesMetric):
    """Share of the examples whose label is the target."""

    title = "class purity"
    reference = "hanawa2021evaluation"
    needs = frozenset({Need.CLASSES, Need.OUTPUTS, Need.TRAINING})
    chance = None  # the share of the class in the training data
    cost = "none"

    def is_same(self, case: Case, given: Examples) -> Bool[Tensor, "batch k"]:
        """Return which examples bear the explained class."""
        return case.task.data.train.y[given.index] == case.query.target[:, None]

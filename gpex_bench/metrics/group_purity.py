"""Group purity: which share of the training examples given as an explanation was planted to support the sample.

The identical-subclass test of hanawa2021evaluation on generated data, where the group that decides
the class of a sample is known; with all given examples instead of the first one.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.metrics.class_purity import examples, purity
from gpex_bench.metrics.planted import groups
from gpex_bench.types import Case, Examples, Metric, Need, settings


@settings
class GroupPurity(Metric):
    """Share of the examples from the planted group of the sample.

    Attributes:
        weighted: count each example by its positive weight.
    """

    title = "group purity"
    reference = "hanawa2021evaluation"
    measures = "examples"
    higher_is_better = True
    range = (0.0, 1.0)
    chance = None  # the share of the group in the training data
    scores = Examples
    needs = frozenset({Need.TRUTH})
    cost = "none"

    weighted: bool = False

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the share of each sample."""
        given = examples(case.explanation)
        own, train = groups(case)
        return purity(train[given.index] == own[:, None], given.weight, self.weighted)

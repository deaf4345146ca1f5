"""Class purity: which share of the training examples given as an explanation bears the explained class.

The identical-class test of hanawa2021evaluation, with all given examples instead of the first one.
A network's errors are counted too: the target is the class that is explained, the label is the one
in the training data.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gpex_bench.types import Case, Examples, Explanation, Metric, settings


def examples(explanation: Explanation) -> Examples:
    """Return the explanation if it is made of examples; raises ValueError otherwise."""
    if not isinstance(explanation, Examples):
        raise ValueError(
            f"This metric scores Examples, got {type(explanation).__name__}; see Metric.scores."
        )
    return explanation


def purity(
    same: Bool[Tensor, "batch k"], weight: Float[Tensor, "batch k"], weighted: bool = False
) -> Float[Tensor, "batch"]:
    """Return the share of examples that are the same.

    Args:
        same: whether an example agrees with the query.
        weight: of each example.
        weighted: count each example by its positive weight; 0 if no weight is positive.
    """
    mass = (
        weight.double().clamp(min=0) if weighted else torch.ones_like(weight, dtype=torch.float64)
    )
    total = mass.sum(1)
    return (mass * same).sum(1) / torch.where(total > 0, total, 1.0)


@settings
class ClassPurity(Metric):
    """Share of the examples whose label is the target.

    Attributes:
        weighted: count each example by its positive weight.
    """

    title = "class purity"
    reference = "hanawa2021evaluation"
    measures = "examples"
    higher_is_better = True
    range = (0.0, 1.0)
    chance = None  # the share of the class in the training data
    scores = Examples
    cost = "none"

    weighted: bool = False

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the share of each sample."""
        given = examples(case.explanation)
        same = case.task.data.train.y[given.index] == case.query.target[:, None]
        return purity(same, given.weight, self.weighted)

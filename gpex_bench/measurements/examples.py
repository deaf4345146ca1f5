"""Scores explanations that are made of training samples: which of them are like the query?"""

from __future__ import annotations

from abc import abstractmethod

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
    mass = torch.ones_like(weight, dtype=torch.float64)
    if weighted:
        mass = weight.double().clamp(min=0)

    total = mass.sum(1)
    mass_of_same = (mass * same).sum(1)
    return mass_of_same / torch.where(total > 0, total, 1.0)


@settings
class ExamplesMetric(Metric):
    """Share of the examples that are like the query in one respect.

    Attributes:
        weighted: count each example by its positive weight.
    """

    measures = "examples"
    higher_is_better = True
    range = (0.0, 1.0)
    scores = Examples

    weighted: bool = False

    @abstractmethod
    def is_same(self, case: Case, given: Examples) -> Bool[Tensor, "batch k"]:
        """Return which examples are like their query."""

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the share of each sample."""
        given = examples(case.explanation)
        return purity(self.is_same(case, given), given.weight, self.weighted)

"""One network of one seed with its explanations, as the figures show it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gpex_bench.tables.words import number
from gpex_bench.types import Dataset, Explanation, Kind, Model, Query, Surrogate, value
from gpex_bench.types.outputs import prediction


@value
class Shown:
    """One network of one seed, to draw pictures of its explanations."""

    dataset: str
    model_name: str
    data: Dataset
    model: Model
    query: Query
    explanations: Mapping[str, Explanation]  # by method; those that succeeded
    surrogates: Mapping[str, Surrogate]  # by method, for methods that use one

    @property
    def name(self) -> str:
        """The network as it is called in titles."""
        return f"{self.dataset} ({self.model_name})"

    @property
    def evidence(self) -> str:
        """What positive relevance is evidence for, in words."""
        classes = self.data.classes
        if self.data.kind is Kind.NUMBER:
            return f"a larger {classes[0]}"
        if self.data.kind is Kind.LABELS:
            return "the explained label"
        has_one_logit = self.model.head.out_features == 1
        return f"{classes[1]}, whichever is predicted" if has_one_logit else "the explained class"

    def predicted(self, row: int) -> str:
        """Return what the network gives to a query: a class, its labels or a number."""
        return named(self.data, self._prediction(row))

    def true(self, row: int) -> str:
        """Return the target of a query in the same words."""
        return named(self.data, self._target(row))

    def explained(self, row: int) -> str:
        """Return which label of a query is explained; empty where targets are no labels."""
        is_labels = self.data.kind is Kind.LABELS
        return self.data.classes[int(self.query.target[row])] if is_labels else ""

    def first_wrong(self, n: int) -> tuple[int, str] | None:
        """Return a row of the first n on which the network is wrong, and in which way, or None.

        The first whose class or labels are not the right ones, or the largest error of a number.
        """
        rows = range(n)
        if self.data.kind is Kind.NUMBER:
            errors = [abs(float(self._prediction(row) - self._target(row))) for row in rows]
            return errors.index(max(errors)), "largest error"

        is_wrong = [not self._prediction(row).equal(self._target(row)) for row in rows]
        way = "misclassified" if self.data.kind is Kind.CLASSES else "with a wrong label"
        return (is_wrong.index(True), way) if True in is_wrong else None

    def _prediction(self, row: int) -> Tensor:
        with torch.no_grad():
            outputs = self.model(self.query.x[row : row + 1])
        return prediction(outputs, self.data.kind)[0]

    def _target(self, row: int) -> Tensor:
        (at,) = (self.data.test.sample == self.query.sample[row]).nonzero().flatten().tolist()
        return self.data.test.y[at]


def named(data: Dataset, y: Tensor) -> str:
    """Return a target in words: a class, the labels that are there, or a number with its unit."""
    if data.kind is Kind.NUMBER:
        spread = float(data.train.y.double().std())
        return f"{number(float(y), spread)} {data.unit}".strip()
    if data.kind is Kind.LABELS:
        is_there = y.bool().tolist()
        names = [name for name, there in zip(data.classes, is_there, strict=True) if there]
        return ", ".join(names) or "none"
    return data.classes[int(y)]

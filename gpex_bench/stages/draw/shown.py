"""One network of one seed with its explanations, as the figures show it."""

from __future__ import annotations

from collections.abc import Mapping

from gpex_bench.types import Dataset, Explanation, Model, Query, Surrogate, value


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

    def predicted(self, row: int) -> str:
        """Return the class that the network gives to a query."""
        return self.data.classes[int(self.query.target[row])]

    def first_misclassified(self, n: int) -> int | None:
        """Return the first of n rows whose label is not what the network gives, or None."""
        wrong = (row for row in range(n) if self.predicted(row) != self.true(row))
        return next(wrong, None)

    def true(self, row: int) -> str:
        """Return the label of a query."""
        (at,) = (self.data.test.sample == self.query.sample[row]).nonzero().flatten().tolist()
        return self.data.classes[int(self.data.test.y[at])]

"""Completeness error: how far a map is from summing to f(x) - f(baseline).

Source: sundararajan2017axiomatic. |sum a - (f(x) - f(b))| / |f(x) - f(b)| with the logit f of the
target and the dataset's baseline b. Unlike `conservation_error` it asks every method for the same
sum, also those that promise another one, or none: a number well above 0 is then no fault of the
method, but its maps cannot be read as shares of the logit. A map of zeros scores 1. The difference
counts as at least a millionth of the larger of the two logits (ours), and samples with a difference
near zero decide the mean. Units of the map count.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.maps import SMALLEST, values
from gpex_bench.types import Case, Metric, settings
from gpex_bench.types.outputs import of_target


@settings
class CompletenessError(Metric):
    """Size of what is missing from the map's sum, as a share of f(x) - f(baseline)."""

    title = "completeness error"
    reference = "sundararajan2017axiomatic"
    measures = "axiom"
    blind_can_be_perfect = True  # an even map with the right sum
    higher_is_better = False
    range = (0.0, float("inf"))
    margin = 0.01  # of what the axiom asks for
    resolution = 1e-6
    chance = None
    cost = "1 forward row a sample and 1 for the baseline"

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the error of each sample."""
        query, model = case.query, case.task.model
        relevance = values(case.explanation).double()
        total = relevance.flatten(1).sum(1)

        baseline = case.task.data.baseline.to(query.x)
        with torch.no_grad():
            outputs = model(query.x).double()
            at_baseline = model(baseline[None]).double()
        changes = outputs - at_baseline
        change = of_target(changes, query.target)

        largest = torch.maximum(outputs.abs(), at_baseline.abs())
        least = SMALLEST * of_target(largest, query.target)

        size = torch.maximum(change.abs(), least)
        off = (total - change).abs()
        # only a network of zeros has no size
        return off / torch.where(size > 0, size, 1.0)

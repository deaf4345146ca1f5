"""Network, surrogate → explanations, and what they cost. The explainer's own call is the only one that may fail."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace

import numpy as np

from gpex_bench import guard, isolation
from gpex_bench.budget import counted
from gpex_bench.isolation import Outcome
from gpex_bench.types import Explainer, Query, Task


@dataclass(frozen=True)
class Explained:
    """The outcome of one cell; its value is the explanation's fields as arrays, or None."""

    outcome: Outcome
    n_samples: int
    forward_rows: int = 0  # rows through the network
    backward_rows: int = 0
    surrogate_rows: int = 0  # rows through the surrogate, forward and backward


def explain(explainer: Explainer, task: Task, query: Query, timeout_seconds: float) -> Explained:
    """Run an explainer on one network in a process of its own, and hold it to its promises."""

    def call() -> tuple[dict[str, np.ndarray], float, tuple[int, int, int]]:
        with counted(task.model) as network, counted(task.surrogate) as surrogate:
            explanation, seconds = guard.timed(explainer, task, query)
        arrays = {
            field.name: getattr(explanation, field.name).detach().numpy() for field in dataclasses.fields(explanation)
        }
        return arrays, seconds, (network.forward, network.backward, surrogate.forward + surrogate.backward)

    outcome = isolation.run(call, timeout_seconds)
    if outcome.value is None:
        return Explained(outcome, len(query.x))
    arrays, seconds, rows = outcome.value
    return Explained(replace(outcome, value=arrays, wall_seconds=seconds), len(query.x), *rows)

"""Network, surrogate → explanations, and what they cost.

The explainer's own call is the only one that may fail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gpex_bench.contract import calls, isolation
from gpex_bench.contract.cost import counted
from gpex_bench.contract.isolation import Outcome
from gpex_bench.stages.queries import queries
from gpex_bench.types import Explainer, Query, Task


@dataclass(frozen=True)
class Explained:
    """The outcome of one cell; its value is the explanation's fields as arrays, or None."""

    outcome: Outcome
    query: Query
    forward_rows: int = 0  # rows through the network
    backward_rows: int = 0
    surrogate_rows: int = 0  # rows through the surrogate, forward and backward


def explain(
    explainer: Explainer | None, task: Task, n_samples: int, timeout_seconds: float
) -> Explained:
    """Run an explainer on one network in a separate process, and check its promises.

    Args:
        explainer: None if its plug-in cannot be used; the cell is then a failed one.
        task: the network.
        n_samples: how many test samples are explained.
        timeout_seconds: how long it may take.
    """
    query = queries(task.model, task.data, n_samples)
    if explainer is None:
        return Explained(Outcome(isolation.FAILED), query)

    def call() -> tuple[dict[str, np.ndarray], float, tuple[int, int, int]]:
        with counted(task.model) as network, counted(task.surrogate) as surrogate:
            explanation, seconds = calls.timed(explainer, task, query)
        arrays = {
            name: tensor.detach().numpy() for name, tensor in calls.tensors(explanation).items()
        }
        return (
            arrays,
            seconds,
            (network.forward, network.backward, surrogate.forward + surrogate.backward),
        )

    outcome = isolation.run(call, timeout_seconds)
    if outcome.value is None:
        return Explained(outcome, query)
    arrays, seconds, rows = outcome.value
    return Explained(replace(outcome, value=arrays, wall_seconds=seconds), query, *rows)

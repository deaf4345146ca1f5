"""Network, surrogate → explanations, and what they cost.

The explainer's own call is the only one that may fail. Maps whose method promises a sum are held to
it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from gpex_bench.contract import calls, isolation, sums
from gpex_bench.contract.cost import counted
from gpex_bench.contract.isolation import Outcome
from gpex_bench.contract.sums import Missing
from gpex_bench.stages.queries import queries
from gpex_bench.types import Explainer, Query, Task


@dataclass(frozen=True)
class Explained:
    """The outcome of one cell; its value is the explanation's fields as arrays, or None.

    An unsound explanation has a value, which is kept to be looked at, and is not scored.
    """

    outcome: Outcome
    query: Query | None  # None: nothing was asked
    forward_rows: int = 0  # rows through the network
    backward_rows: int = 0
    surrogate_rows: int = 0  # rows through the surrogate, forward and backward
    missing: Missing | None = None  # from the sums of its maps; None: they promise no sum


def explain_drawn(
    explainer: Explainer,
    task: Task,
    n_samples: int,
    timeout_seconds: float,
    predicted: Shaped[Tensor, "n *label"] | None = None,
) -> Explained:
    """Draw what is explained of a network (`queries`), and explain it (`explain`)."""
    query = queries(task.model, task.data, n_samples, predicted)
    return explain(explainer, task, query, timeout_seconds)


def explain(explainer: Explainer, task: Task, query: Query, timeout_seconds: float) -> Explained:
    """Run an explainer on one network in a separate process, and check its promises.

    Args:
        explainer: of this cell.
        task: the network.
        query: what is explained.
        timeout_seconds: how long it may take.
    """

    def call() -> tuple[dict[str, np.ndarray], float, tuple[int, int, int], Missing | None]:
        with counted(task.model) as network, counted(task.surrogate) as surrogate:
            explanation, seconds = calls.timed(explainer, task, query)
        arrays = {
            name: tensor.detach().numpy() for name, tensor in calls.tensors(explanation).items()
        }
        return (
            arrays,
            seconds,
            (network.forward, network.backward, surrogate.forward + surrogate.backward),
            sums.missing(explainer, task, query, explanation),
        )

    outcome = isolation.run(call, timeout_seconds)
    if outcome.value is None:
        return Explained(outcome, query)
    arrays, seconds, (forward, backward, of_surrogate), lost = outcome.value
    outcome = replace(outcome, value=arrays, wall_seconds=seconds)

    reason = None if lost is None else lost.reason()
    if reason is not None:
        outcome = replace(outcome, status=isolation.UNSOUND, reason=reason)
    return Explained(outcome, query, forward, backward, of_surrogate, lost)

"""What a network says of changed inputs: the one place where measurements send rows through it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench.masking.answers import layout
from gpex_bench.types import Case
from gpex_bench.types.passes import CHANGED_ROWS, in_chunks

OUTPUTS = ("probability", "logit", "correct")
Make = Callable[
    [Tensor, Tensor], Tensor
]  # (query of each row, number of each row within its query) → inputs


def answers(case: Case, n_each: int, make: Make) -> Float[Tensor, "output batch each"]:
    """Return the target's probability, its logit, and whether the network names it (0, 1), in float64.

    Args:
        case: whose network is asked.
        n_each: rows per query.
        make: makes at most CHANGED_ROWS rows at a time, so that memory does not grow with the number of queries.
    """
    query, quick = case.query, layout(case.task.model, case.query.x)

    def outputs(row: Int[Tensor, "row"]) -> Float[Tensor, "row output"]:
        image, number = (row // n_each).to(query.x.device), (row % n_each).to(query.x.device)
        return _outputs(case.task.model(quick(make(image, number))), query.target[image])

    found = in_chunks(outputs, torch.arange(len(query.x) * n_each), size=CHANGED_ROWS)
    return found.T.reshape(len(OUTPUTS), len(query.x), n_each)


def _outputs(
    logits: Float[Tensor, "row head"], target: Int[Tensor, "row"]
) -> Float[Tensor, "row output"]:
    """Return the three outputs, in the order of OUTPUTS."""
    logits = logits.double()
    own = logits.gather(1, target[:, None])[:, 0]
    probability = logits.softmax(1).gather(1, target[:, None])[:, 0]
    return torch.stack([probability, own, (logits.argmax(1) == target).double()], 1)

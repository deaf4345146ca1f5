"""What a network says of changed inputs: the one place where measurements send rows through it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench.masking.resolution import check_resolved
from gpex_bench.models.rewriting.quick import quick
from gpex_bench.types import Case, Kind
from gpex_bench.types.batches import CHANGED_ROWS, in_chunks, rows_at_once
from gpex_bench.types.demands import Refused
from gpex_bench.types.outputs import names_target, of_target, probabilities

OUTPUTS = ("probability", "logit", "correct")
Make = Callable[
    [Tensor, Tensor], Tensor
]  # (query of each row, number of each row within its query) → inputs


def answers(case: Case, n_each: int, make: Make) -> Float[Tensor, "output batch each"]:
    """Return the target's probability, its logit, and whether it is predicted (0, 1), in float64.

    Of a number, the logit is its value, and the two others are NaN.

    Args:
        case: gives the network.
        n_each: rows per query.
        make: makes at most CHANGED_ROWS rows at a time, so that memory does not grow with the
        number of queries.

    Raises:
        Refused: the logits of a query differ by less than the network's precision resolves.
    """
    query, model = case.query, case.task.model
    n_queries = len(query.x)
    network = quick(model, query.x, n_queries * n_each)

    def outputs(row: Int[Tensor, "row"]) -> Float[Tensor, "row output"]:
        row = row.to(query.x.device)
        image, number = row // n_each, row % n_each
        logits = network(make(image, number))
        return _outputs(logits, query.target[image], case.task.data.kind)

    size = rows_at_once(CHANGED_ROWS, query.x)
    by_row = in_chunks(outputs, torch.arange(n_queries * n_each), size=size)
    _check_resolved(by_row[:, OUTPUTS.index("logit")], n_each, torch.finfo(query.x.dtype).eps)
    return by_row.T.reshape(len(OUTPUTS), n_queries, n_each)


def _check_resolved(logit: Float[Tensor, "row"], n_each: int, step: float) -> None:
    """Raise Refused if the logits of some query differ by less than their precision resolves."""
    image = torch.arange(len(logit), device=logit.device) // n_each
    is_same = torch.zeros(len(logit) // n_each, dtype=torch.bool, device=logit.device)
    check_resolved(image, logit, step * logit.abs(), is_same)


def output(found: Float[Tensor, "output *point"], name: str) -> Float[Tensor, "*point"]:
    """Return one of the OUTPUTS.

    Raises:
        Refused: the network gives a number, which has no probability and names no class.
    """
    one = found[OUTPUTS.index(name)]
    if bool(one.isnan().all()):
        raise Refused(
            f"This metric reads the output {name!r}, which a network that gives a number does not "
            "have; set `output: logit` where the metric has this setting, or leave it out."
        )
    return one


def _outputs(
    logits: Float[Tensor, "row head"], target: Int[Tensor, "row"], kind: Kind
) -> Float[Tensor, "row output"]:
    """Return the three outputs, in the order of OUTPUTS."""
    logits = logits.double()
    own = of_target(logits, target)
    probability = torch.full_like(own, torch.nan)
    if kind is not Kind.NUMBER:
        probability = of_target(probabilities(logits, kind), target)
    return torch.stack([probability, own, names_target(logits, target, kind)], 1)

"""Whether the values of an attribution sum to what its method promises, sample by sample.

A method says in `Attribution.residual` what is missing from the sum that it promises; where it
claims completeness, the change of the logit from the baseline is worked out here too, by two
forward rows a sample that no method pays for. The missing share is

    (|promised - sum| - rounding) / max(|promised|, LEAST * sum of |values|)

so that a logit near zero does not make a share of any size out of rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from gpex_bench.types import Attribution, Axiom, Explainer, Explanation, Query, Task
from gpex_bench.types.batches import in_chunks

COMPLETE = 1e-3  # what a complete method may miss unless it declares another share
LEAST = 0.1  # promised sums below this share of the values' sizes are judged by the latter
# Rounding of sums in single precision, as a share of the sizes of logits and values.
ROUNDING = 16 * torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Missing:
    """How much of their sums the maps of a cell miss, as shares."""

    worst: float
    median: float
    sample: int  # the sample with the largest share
    total: float  # the sum of its values
    promised: float  # what they should sum to
    allowed: float | None  # the largest share that the explainer claims to miss; None: no claim

    def reason(self) -> str | None:
        """Return why the cell is unsound, or None if the explainer keeps the sum that it claims."""
        if self.allowed is None or self.worst <= self.allowed:
            return None
        return (
            f"the values of sample {self.sample} sum to {self.total:.5g}, not to "
            f"{self.promised:.5g}: off by {100 * self.worst:.3g} %, {100 * self.allowed:.3g} % is "
            "allowed; raise the budget, if it has one, or choose a method that fits this network"
        )


def allowed(explainer: Explainer) -> float | None:
    """Return the largest share that an explainer may miss in any cell; None: it claims no sum."""
    if explainer.sum_tolerance is None and Axiom.COMPLETENESS in explainer.axioms:
        return COMPLETE
    return explainer.sum_tolerance


def missing(
    explainer: Explainer, task: Task, query: Query, explanation: Explanation
) -> Missing | None:
    """Return how much of their sums the maps miss; None if no sum is promised.

    Args:
        explainer: what made the explanation; its claims decide what is compared.
        task: the network and its baseline.
        query: what is explained.
        explanation: of the query.
    """
    if not isinstance(explanation, Attribution) or not len(query.x):
        return None
    is_complete = Axiom.COMPLETENESS in explainer.axioms
    if explanation.residual is None and not is_complete:
        return None

    values = explanation.values.double().flatten(1)
    total, size = values.sum(1), values.abs().sum(1)
    logit, at_baseline = _logits(task, query)
    rounding = ROUNDING * (torch.maximum(logit.abs(), at_baseline.abs()) + size)

    promises = []
    if explanation.residual is not None:
        promises.append(total + explanation.residual.double())
    if is_complete:
        promises.append(logit - at_baseline)

    promised = torch.stack(promises)
    shares = _shares(promised, total, size, rounding)
    return _summary(shares, promised, total, query, allowed(explainer))


def _logits(task: Task, query: Query) -> tuple[Float64[Tensor, "batch"], Float64[Tensor, "batch"]]:
    """Return the target's logit of each sample, and that of the baseline."""
    rows = torch.cat([query.x, task.data.baseline[None].to(query.x)])
    logits = in_chunks(task.model, rows).double()
    return logits[:-1].gather(1, query.target[:, None])[:, 0], logits[-1][query.target]


def _shares(promised: Tensor, total: Tensor, size: Tensor, rounding: Tensor) -> Tensor:
    """Return the missing shares [promise, batch]; 0 where nothing is missing beyond rounding."""
    gap = ((promised - total).abs() - rounding).clamp(min=0)
    scale = torch.maximum(promised.abs(), LEAST * size)
    share = (gap / scale).nan_to_num(nan=torch.inf)  # logits that are not finite promise nothing
    return torch.where(gap == 0, 0.0, share)


def _summary(
    shares: Tensor, promised: Tensor, total: Tensor, query: Query, most: float | None
) -> Missing:
    """Return the worst and the median sample, each by the promise that it misses most."""
    by_sample, which = shares.max(0)
    row = int(by_sample.argmax())
    return Missing(
        worst=float(by_sample[row]),
        median=float(by_sample.median()),
        sample=int(query.sample[row]),
        total=float(total[row]),
        promised=float(promised[which[row], row]),
        allowed=most,
    )

"""Looks up the planted truth of the queries: the mask of the evidence and the group of the sample."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gpex_bench.types import Case, Truth


def _truth(case: Case) -> tuple[Truth, Int[Tensor, "batch"]]:
    """Return the truth and the row of each query in the test split."""
    data, sample = case.task.data, case.query.sample
    if data.truth is None:
        raise ValueError(
            f"Dataset {data.name!r} has no planted truth; use a generated one such as shapes."
        )
    known, order = data.test.sample.sort()
    place = torch.searchsorted(known, sample).clamp(max=len(known) - 1)
    missing = sample[known[place] != sample].tolist()
    if missing:
        raise ValueError(
            f"Samples {missing[:5]} of {data.name!r} are not in its test split; only that has a truth."
        )
    return data.truth, order[place]


def evidence(case: Case) -> Bool[Tensor, "batch position"]:
    """Return where the evidence of each query lies: pixels with evidence in any channel, or columns.

    Raises ValueError if the dataset has no truth, or a query is not in the test split or has an empty mask.
    """
    truth, row = _truth(case)
    mask = truth.mask[row]
    inside = (mask.any(1) if mask.ndim == 4 else mask).flatten(1)
    empty = case.query.sample[~inside.any(1)].tolist()
    if empty:
        raise ValueError(
            f"The truth masks of samples {empty[:5]} of {case.task.data.name!r} are empty."
        )
    return inside


def groups(case: Case) -> tuple[Int[Tensor, "batch"], Int[Tensor, "n_train"]]:
    """Return the planted group of each query and of each training sample; raises ValueError like `evidence`."""
    truth, row = _truth(case)
    return truth.test_group[row], truth.train_group

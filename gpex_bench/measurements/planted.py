"""The planted truth of the queries, and metrics that compare maps with it."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gpex_bench.masking.units import per_unit, units
from gpex_bench.measurements.maps import relevance
from gpex_bench.types import Case, Metric, Need, Truth


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
            f"Samples {missing[:5]} of {data.name!r} are not in its test split, "
            "which alone has a truth."
        )
    return data.truth, order[place]


def evidence(case: Case) -> Bool[Tensor, "batch unit"]:
    """Return where the evidence of each query is: units with evidence in any channel or column.

    Raises ValueError if the dataset has no truth, or a query is not in the test split or has an
    empty mask.
    """
    truth, row = _truth(case)
    mask = truth.mask[row]
    inside = (mask.any(1) if mask.ndim == 4 else mask).flatten(1)
    inside = per_unit(inside.double(), units(case.task.data)) > 0
    empty = case.query.sample[~inside.any(1)].tolist()
    if empty:
        raise ValueError(
            f"The truth masks of samples {empty[:5]} of {case.task.data.name!r} are empty."
        )
    return inside


def groups(case: Case) -> tuple[Int[Tensor, "batch"], Int[Tensor, "n_train"]]:
    """Return the planted group of each query and of each training sample.

    Raises ValueError like `evidence`.
    """
    truth, row = _truth(case)
    return truth.test_group[row], truth.train_group


class TruthMetric(Metric):
    """How well the relevance of positions agrees with the planted evidence."""

    measures = "truth"
    higher_is_better = True
    range = (0.0, 1.0)
    needs = frozenset({Need.TRUTH})

    @abstractmethod
    def compare(
        self, values: Float[Tensor, "batch position"], inside: Bool[Tensor, "batch position"]
    ) -> Float[Tensor, "batch"]:
        """Return one number per sample; `inside` is where the evidence is."""

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the agreement of each sample."""
        return self.compare(relevance(case), evidence(case))


def top_inside(
    values: Float[Tensor, "batch position"], inside: Bool[Tensor, "batch position"]
) -> Float[Tensor, "batch"]:
    """Return the expected share of the top K that is inside, with K = inside.sum() >= 1 per row."""
    k = inside.sum(1, keepdim=True)
    in_order = values.sort(1, descending=True).values
    border = in_order.gather(1, k - 1)
    above = values > border
    tied = values == border

    # The tied ones share the places that are left, in proportion.
    n_left = k[:, 0] - above.sum(1)
    share_inside = (tied & inside).sum(1) / tied.sum(1)
    tied_hits = share_inside * n_left

    hits = (above & inside).sum(1) + tied_hits
    return hits.double() / k[:, 0]

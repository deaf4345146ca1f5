"""Networks → which share of what they say is due to interactions of regions, image by image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pandas as pd

from gpex_bench.interactions.plan import Plan
from gpex_bench.interactions.shares import common, shares
from gpex_bench.types import Dataset, Model, Task


def decompose(
    models: Mapping[int, Model], every: Iterable[Model], data: Dataset, plan: Plan
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield each training seed with the frame of `interactions.shares` of its network.

    Args:
        models: of one architecture, by training seed.
        every: the networks of all architectures and seeds; only images that all classify correctly are asked.
        data: with planted truth.
        plan: of the experiment.
    """
    rows = common(every, data, plan.images)
    for seed, model in models.items():
        yield seed, shares(Task(model=model, data=data, surrogate=None, seed=seed), rows, plan)

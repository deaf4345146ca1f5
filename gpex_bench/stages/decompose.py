"""Network → which share of what it says is due to interactions of regions, image by image."""

from __future__ import annotations

import pandas as pd

from gpex_bench.interactions.plan import Plan
from gpex_bench.interactions.shares import shares
from gpex_bench.types import Dataset, Model, Task


def decompose(model: Model, data: Dataset, plan: Plan, seed: int) -> pd.DataFrame:
    """Return the frame of `interactions.shares` for the network of one training seed."""
    return shares(Task(model=model, data=data, surrogate=None, seed=seed), plan)

"""Network, surrogate → how well they agree."""

from __future__ import annotations

import pandas as pd

from gpex_bench.surrogates.agreement import compare
from gpex_bench.types import Dataset, Model, Surrogate


def agree(model: Model, surrogate: Surrogate | None, data: Dataset, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the agreement statistics per head and predictions, on test, mixed and out-of-distribution items.

    Both are empty without a surrogate, because its fit failed.
    """
    if surrogate is None:
        return pd.DataFrame(), pd.DataFrame()
    return compare(model, surrogate, data, seed)

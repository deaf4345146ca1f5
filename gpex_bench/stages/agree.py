"""Network, surrogate → how well they agree."""

from __future__ import annotations

import pandas as pd
import torch

from gpex_bench.surrogates.agreement.compare import compare
from gpex_bench.types import Dataset, Model, Surrogate


def agree(
    model: Model | None, surrogate: Surrogate | None, data: Dataset, seed: int, device: str = "cpu"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the agreement statistics per head, and the predictions.

    On test, mixed and out-of-distribution items. They are calculated on `device`, or on the CPU if
    this machine has no such GPU. Both are empty without a network or a surrogate.
    """
    if model is None or surrogate is None:
        return pd.DataFrame(), pd.DataFrame()
    has_it = not device.startswith("cuda") or torch.cuda.is_available()
    return compare(model, surrogate, data, seed, device=device if has_it else "cpu")

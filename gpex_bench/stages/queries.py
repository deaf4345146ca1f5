"""What is explained: the first test samples, each for the class that the network predicts."""

from __future__ import annotations

import torch

from gpex_bench.types import Dataset, Model, Query


def queries(model: Model, data: Dataset, n_samples: int) -> Query:
    """Return the first `n_samples` of the test split, or all; targets are the predicted classes.

    The test split is in a fixed random order, so the first rows are a random choice that no result
    depends on.
    """
    x = data.test.x[:n_samples]
    with torch.no_grad():
        target = model(x).argmax(1)
    return Query(x=x, target=target, sample=data.test.sample[:n_samples])

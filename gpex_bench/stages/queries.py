"""What is explained: the first test samples, each for the output that the network makes largest.

Of classes this is the predicted class, of labels the one with the largest logit. The one logit of a
network for two classes is that of the second class, whichever is predicted: positive relevance
speaks for the second class. A number is explained as it is.
"""

from __future__ import annotations

import torch

from gpex_bench.types import Dataset, Model, Query
from gpex_bench.types.outputs import explained


def queries(model: Model, data: Dataset, n_samples: int) -> Query:
    """Return the first `n_samples` of the test split, or all, and their targets.

    The test split is in a fixed random order, so the first rows are a random choice that no result
    depends on.
    """
    x = data.test.x[:n_samples]
    with torch.no_grad():
        target = explained(model(x))
    return Query(x=x, target=target, sample=data.test.sample[:n_samples])

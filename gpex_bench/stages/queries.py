"""What is explained: some test samples, each for the output that the network makes largest.

The samples are drawn so that they stand for the split (`types.strata`), whatever its order.

Of classes this is the predicted class, of labels the one with the largest logit. The one logit of a
network for two classes is that of the second class, whichever is predicted: positive relevance
speaks for the second class. A number is explained as it is.
"""

from __future__ import annotations

import torch

from gpex_bench.types import Dataset, Model, Query
from gpex_bench.types.outputs import explained
from gpex_bench.types.strata import drawn


def queries(model: Model, data: Dataset, n_samples: int) -> Query:
    """Return `n_samples` of the test split, or all, and their targets.

    They are a stratified draw that depends on the samples' identities and targets alone, in random
    order: the first ones of them stand for the split too.
    """
    rows = drawn(data.test, data.kind, n_samples)
    x = data.test.x[rows]
    with torch.no_grad():
        target = explained(model(x))
    return Query(x=x, target=target, sample=data.test.sample[rows])

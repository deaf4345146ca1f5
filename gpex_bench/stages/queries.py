"""What is explained: some test samples, each for the output that the network makes largest.

The samples are drawn so that they stand for what the network predicts on the test split
(`types.strata`): rare predictions are there, and classes that it never predicts are not. The
networks of several training seeds share their samples, which are drawn by what most of them
predict.

Of classes this is the predicted class, of labels the one with the largest logit. The one logit of a
network for two classes is that of the second class, whichever is predicted: positive relevance
speaks for the second class. A number is explained as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Shaped
from torch import Tensor

from gpex_bench.types import Dataset, Model, Query
from gpex_bench.types.batches import in_chunks
from gpex_bench.types.outputs import explained, prediction
from gpex_bench.types.strata import agreed, drawn


def queries(
    model: Model,
    data: Dataset,
    n_samples: int,
    predicted: Shaped[Tensor, "n *label"] | None = None,
) -> Query:
    """Return `n_samples` of the test split, or all, and their targets.

    They are a stratified draw that depends on the samples' identities and predictions alone, in
    random order: the first ones of them stand for the split too.

    Args:
        model: the network.
        data: has the test split.
        n_samples: how many.
        predicted: what the draw is stratified by, for each row of the test split; None: what the
            network predicts.
    """
    if predicted is None:
        predicted = predicted_by([model], data)
    rows = drawn(data.test, data.kind, n_samples, predicted)

    x = data.test.x[rows]
    with torch.no_grad():
        target = explained(model(x))
    return Query(x=x, target=target, sample=data.test.sample[rows])


def predicted_by(models: Iterable[Model], data: Dataset) -> Shaped[Tensor, "n *label"]:
    """Return what most networks predict for each row of the test split."""
    predictions = [prediction(in_chunks(model, data.test.x), data.kind) for model in models]
    return agreed(predictions, data.kind)

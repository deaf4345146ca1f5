"""Networks → what they use: how far their answers fall when one thing in the input is changed.

Planted evidence is the truth about a network only if the network uses it and nothing else. Each
intervention makes a test sample again with one thing changed (`PlantedSource.interventions`). Its
effect is the mean fall of the probability of the class that the network predicts without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.types import Dataset, Model
from gpex_bench.types.outputs import probabilities

BATCH = 250
USED = ("thing", "drop", "share", "is_planted", "accuracy", "n_samples")


def intervene(
    models: Mapping[int, Model],
    data: Dataset,
    changed: Mapping[str, Float[Tensor, "n_test *feature"]],
    planted: Collection[str],
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield each training seed with what its network uses (`USED`), one row an intervention.

    Args:
        models: of one architecture, by training seed.
        data: with planted truth.
        changed: the test inputs under each intervention.
        planted: the interventions that change what the mask marks.
    """
    for seed, model in models.items():
        intact = _probabilities(model, data.test.x, data)
        predicted = intact.argmax(1)
        before = intact.gather(1, predicted[:, None])

        rows = []
        for thing, x in changed.items():
            after = _probabilities(model, x, data).gather(1, predicted[:, None])
            rows.append((thing, float((before - after).mean())))
        table = pd.DataFrame(rows, columns=["thing", "drop"])

        # an intervention that raises the probability on average has no part in the drop
        falls = table["drop"].clip(lower=0)
        table["share"] = falls / falls.sum()
        table["is_planted"] = table["thing"].isin(list(planted))
        table["accuracy"] = float((predicted == data.test.y).double().mean())
        table["n_samples"] = len(predicted)
        yield seed, table[list(USED)]


def _probabilities(
    model: Model, x: Float[Tensor, "batch *feature"], data: Dataset
) -> Float[Tensor, "batch class"]:
    """Return the probability of every class, in double precision."""
    with torch.no_grad():
        outputs = torch.cat([model(rows) for rows in x.split(BATCH)]).double()
    found = probabilities(outputs, data.kind)
    return torch.cat([1 - found, found], dim=1) if found.shape[1] == 1 else found

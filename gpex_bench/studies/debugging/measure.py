"""Dataset → how fast each ranking finds wrong training labels, and what that does to the network."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from gpex_bench.studies.debugging import labels, rankings
from gpex_bench.studies.debugging.plan import Debugging
from gpex_bench.studies.debugging.repair import repair
from gpex_bench.types import Architecture, Dataset, Model, Progress, Recipe


def curves(  # noqa: PLR0913 - the things that meet here
    architecture: Architecture,
    recipes: Mapping[str, Recipe],
    data: Dataset,
    plan: Debugging,
    seed: int,
    progress: Progress,
) -> pd.DataFrame:
    """Return the curves of one training seed: ranking, shown, found, accuracy, misclassified, n_train.

    All rankings start from the same wrong labels, and each network from the same weights. The rankings are the
    neighbours of each recipe's surrogate, by run id, and those that the plan names.

    Raises:
        ValueError: a surrogate is called like a ranking.
    """
    if both := sorted(set(recipes) & set(plan.rankings)):
        raise ValueError(
            f"The surrogate {both[0]!r} has the name of a ranking; give it another run id."
        )
    data = labels.two_classes(data, plan.classes)
    is_wrong = labels.drawn_wrong(data.train.y, plan.flipped, seed)
    trained: dict[bytes, Model] = {}

    def train(current: Dataset) -> Model:
        """Return the network of these labels; several rankings ask for the one at the start."""
        key = current.train.y.numpy().tobytes()
        if key not in trained:
            trained[key] = architecture.train(current, seed, lambda line: None)
        return trained[key]

    ranks = {name: rankings.of_surrogate(recipe) for name, recipe in recipes.items()}
    ranks |= {name: rankings.BY_NAME[name] for name in plan.rankings}
    found = []
    for name, rank in ranks.items():

        def said(line: str, name: str = name) -> None:
            """Say which ranking a line is about."""
            progress(f"{name}: {line}")

        curve = repair(train, rank, data, is_wrong, plan=plan, seed=seed, progress=said)
        curve.insert(0, "ranking", name)
        found.append(curve)
    return pd.concat(found, ignore_index=True).assign(n_train=len(is_wrong))

"""Dataset → how fast rankings find wrong training labels, and what that does to networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from gpex_bench.studies.debugging import labels, rankings
from gpex_bench.studies.debugging.plan import Debugging
from gpex_bench.studies.debugging.repair import repair
from gpex_bench.types import Architecture, Dataset, Model, Progress, Recipe


def measure_curves(  # noqa: PLR0913 - what is trained, what ranks, and on what
    architecture: Architecture,
    recipes: Mapping[str, Recipe],
    data: Dataset,
    *,
    plan: Debugging,
    seed: int,
    progress: Progress,
) -> pd.DataFrame:
    """Return the curves of one training seed.

    All rankings start from the same wrong labels, and each network from the same weights. The
    rankings are the neighbours of each recipe's surrogate, by run id, and those that the plan
    names.

    Returns:
        ranking, shown, found, accuracy, misclassified, n_train; one row per training.

    Raises:
        ValueError: a surrogate is called like a ranking.
    """
    named_twice = sorted(set(recipes) & set(plan.rankings))
    if named_twice:
        raise ValueError(
            f"The surrogate {named_twice[0]!r} has the name of a ranking; give it another run id."
        )
    data = labels.two_classes(data, plan.classes)
    is_wrong = labels.choose_wrong(data.train.y, plan.flipped, seed)
    train = _remembering(architecture, seed)

    ranks = {name: rankings.of_surrogate(recipe) for name, recipe in recipes.items()}
    ranks |= {name: rankings.BY_NAME[name] for name in plan.rankings}

    curves = []
    for name, rank in ranks.items():
        curve = repair(
            train,
            rank,
            data,
            is_wrong,
            plan=plan,
            seed=seed,
            progress=_prefixed(progress, name),
        )
        curve.insert(0, "ranking", name)
        curves.append(curve)
    return pd.concat(curves, ignore_index=True).assign(n_train=len(is_wrong))


def _remembering(architecture: Architecture, seed: int) -> Callable[[Dataset], Model]:
    """Return a function that trains once for equal labels: all rankings need the first network."""
    trained: dict[bytes, Model] = {}

    def train(data: Dataset) -> Model:
        key = data.train.y.numpy().tobytes()
        if key not in trained:
            trained[key] = architecture.train(data, seed, lambda line: None)
        return trained[key]

    return train


def _prefixed(progress: Progress, name: str) -> Callable[[str], None]:
    """Return progress whose lines begin with the name of a ranking."""
    return lambda line: progress(f"{name}: {line}")

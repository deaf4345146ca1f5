"""Network → surrogate."""

from __future__ import annotations

from gpex_bench.types import Dataset, Model, Progress, Recipe, Surrogate


def fit(recipe: Recipe, model: Model, data: Dataset, seed: int, progress: Progress) -> Surrogate:
    """Return a surrogate of the network, fitted on the train split alone."""
    return recipe.fit(model, data, seed, progress).eval()

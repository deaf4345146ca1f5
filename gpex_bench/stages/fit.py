"""Network → surrogate."""

from __future__ import annotations

from collections.abc import Callable

from gpex_bench.types import Dataset, Model, Recipe, Surrogate


def fit(recipe: Recipe, model: Model, data: Dataset, seed: int, progress: Callable[[str], None]) -> Surrogate:
    """Return a surrogate of the network, fitted on the train split alone."""
    return recipe.fit(model, data, seed, progress).eval()

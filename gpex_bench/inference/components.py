"""Where scores differ: between methods, samples, training seeds and explainer draws, and where these act together.

Analysis of variance of a balanced, fully crossed table with random factors, by the method of moments: each mean square
is equated with its expectation (searle1992variance, chapter 4), and a negative estimate counts as 0. With three
training seeds the components that hold the seed have few degrees of freedom, which stand beside them.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from gpex_bench.inference.units import PLACE, Units

FACTORS = ("method", "sample", "training seed")
COLUMNS = (*PLACE, "component", "share", "variance", "dof")


def components(table: Float[np.ndarray, "..."], names: tuple[str, ...]) -> dict[str, tuple[float, int]]:
    """Return variance and degrees of freedom of each factor and interaction; the last one is "residual".

    Args:
        table: one axis per factor, one number per cell; factors with one level are left out.
        names: of the axes.
    """
    kept = [axis for axis, size in enumerate(table.shape) if size > 1]
    names = tuple(names[axis] for axis in kept)
    table = table.reshape([table.shape[axis] for axis in kept])
    sizes = np.array(table.shape)
    subsets = [subset for size in range(1, len(kept) + 1) for subset in combinations(range(len(kept)), size)]
    squares, dofs = {}, {}
    for subset in subsets:
        effect = table
        for axis in range(len(kept)):
            mean = effect.mean(axis, keepdims=True)
            effect = effect - mean if axis in subset else mean
        others = np.prod([sizes[axis] for axis in range(len(kept)) if axis not in subset])
        dofs[subset] = int(np.prod([sizes[axis] - 1 for axis in subset]))
        squares[subset] = float(others * (effect**2).sum() / dofs[subset])
    found = {}
    for subset in subsets:
        above = [(other, len(other) - len(subset)) for other in subsets if set(subset) <= set(other)]
        moment = sum((-1) ** apart * squares[other] for other, apart in above)
        others = np.prod([sizes[axis] for axis in range(len(kept)) if axis not in subset])
        name = "residual" if len(subset) == len(kept) else " x ".join(names[axis] for axis in subset)
        found[name] = (max(float(moment / others), 0.0), dofs[subset])
    return found


def table(units: Units, within: float | None = None) -> pd.DataFrame:
    """Return one row for each component of one network and metric; controls and incomplete methods are left out.

    Args:
        units: the scores, of which methods with the same scores count once.
        within: variance between explainer draws of one cell, where there are several.
    """
    scores = units.distinct[units.ranked] if units.n_groups else units.scores
    if scores.size < 2 or not len(scores):
        return pd.DataFrame(columns=list(COLUMNS))
    found = components(scores, FACTORS)
    if within is not None:
        found["explainer draw"] = (within, 0)
    total = sum(variance for variance, _ in found.values())
    rows = [
        (*units.place, name, variance / total if total > 0 else float("nan"), variance, dof)
        for name, (variance, dof) in found.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def between_draws(scores: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Return the mean variance between the explainer draws of a cell's sample, by dataset, model and metric."""
    if "draw" not in scores or scores["draw"].nunique() < 2:
        return {}
    cell = [*PLACE, "method", "sample", "seed"]
    spread = scores.groupby([*cell, "draw"])["score"].mean().groupby(cell).var(ddof=1)
    found = spread.dropna().groupby(PLACE).mean()
    return {tuple(map(str, at)): float(number) for at, number in found.items()}  # type: ignore[misc, call-overload]

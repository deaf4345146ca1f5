"""Where scores differ: between methods, samples and training seeds.

Analysis of variance of balanced tables with random factors, by the method of moments: each mean square is equated with
its expectation (searle1992variance, chapter 4), and a negative estimate counts as 0. With three seeds the components
that hold a seed have few degrees of freedom, which stand beside them.

A run gives a crossed table: methods x samples x training seeds of one dataset. Runs that repeat more
are split by the study `variance`.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from gpex_bench.statistics.units import Units
from gpex_bench.tables.columns import VARIANCE

FACTORS = ("method", "sample", "training seed")


def components(
    table: Float[np.ndarray, "..."], names: tuple[str, ...]
) -> dict[str, tuple[float, int]]:
    """Return variance and degrees of freedom of each factor and interaction; the last one is "residual".

    Args:
        table: one axis per factor, one number per cell; factors with one level are left out.
        names: of the axes.
    """
    kept = [axis for axis, size in enumerate(table.shape) if size > 1]
    names = tuple(names[axis] for axis in kept)
    table = table.reshape([table.shape[axis] for axis in kept])
    sizes = np.array(table.shape)
    subsets = [
        subset
        for size in range(1, len(kept) + 1)
        for subset in combinations(range(len(kept)), size)
    ]
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
        above = [
            (other, len(other) - len(subset)) for other in subsets if set(subset) <= set(other)
        ]
        moment = sum((-1) ** apart * squares[other] for other, apart in above)
        others = np.prod([sizes[axis] for axis in range(len(kept)) if axis not in subset])
        name = (
            "residual" if len(subset) == len(kept) else " x ".join(names[axis] for axis in subset)
        )
        found[name] = (max(float(moment / others), 0.0), dofs[subset])
    return found


def table(units: Units) -> pd.DataFrame:
    """Return one row for each component of one network and metric; controls and incomplete methods are left out.

    Args:
        units: the scores, of which methods with the same scores count once.
    """
    scores = units.distinct[units.ranked] if units.n_groups else units.scores
    if scores.size < 2 or not len(scores):
        return pd.DataFrame(columns=list(VARIANCE))
    found = components(scores, FACTORS)
    total = sum(variance for variance, _ in found.values())
    rows = [
        (*units.place, name, variance / total if total > 0 else float("nan"), variance, dof)
        for name, (variance, dof) in found.items()
    ]
    return pd.DataFrame(rows, columns=list(VARIANCE))

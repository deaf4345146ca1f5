"""Where scores differ: between methods, samples and training seeds, and between repetitions of all that is random.

Analysis of variance of balanced tables with random factors, by the method of moments: each mean square is equated with
its expectation (searle1992variance, chapter 4), and a negative estimate counts as 0. With three seeds the components
that hold a seed have few degrees of freedom, which stand beside them.

A run gives a crossed table: methods x samples x training seeds of one dataset. A run on several drawings of a dataset,
with several draws of the explainers, gives for each method a nested one (`nested`): samples and networks belong to a
data seed, and draws to one map.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from gpex_bench.statistics.units import Units
from gpex_bench.tables.columns import REPEATED, VARIANCE, require
from gpex_bench.tables.order import groups

FACTORS = ("method", "sample", "training seed")
SOURCES = (
    "data seed",
    "training seed",
    "sample",
    "residual",
    "explainer seed",
)  # in the order of `nested`


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


def nested(scores: Float[np.ndarray, "data training sample draw"]) -> dict[str, tuple[float, int]]:
    """Return variance and degrees of freedom of each of `SOURCES`; of one draw, the residual holds the explainer's.

    A score is mean + data + training(data) + sample(data) + residual(data, training, sample) + draw(of this map), all
    independent. So a network's effect on all samples of its dataset is told from its effect on one of them.

    Raises:
        ValueError: fewer than two data seeds, training seeds or samples.
    """
    n_data, n_training, n_samples, n_draws = scores.shape
    for name, size in zip(SOURCES, scores.shape[:3], strict=False):
        if size < 2:
            raise ValueError(
                f"scores must hold at least 2 levels of the {name}, got {size}; repeat the run with more."
            )
    drawn = scores - scores[..., :1]  # equal draws then differ by 0 and not by rounding
    maps = scores[..., 0] + drawn.mean(3)
    network, image, data = maps.mean(2), maps.mean(1), maps.mean((1, 2))
    apart = maps - network[:, :, None] - image[:, None] + data[:, None, None]
    dofs = [n_data - 1, n_data * (n_training - 1), n_data * (n_samples - 1)]
    dofs += [n_data * (n_training - 1) * (n_samples - 1), maps.size * (n_draws - 1)]
    effects = [data - data.mean(), network - data[:, None], image - data[:, None], apart]
    effects.append(drawn - drawn.mean(3, keepdims=True))
    squares = [
        float((effect**2).sum()) * scores.size / effect.size / dof if dof else 0.0
        for effect, dof in zip(effects, dofs, strict=True)
    ]
    between, networks, images, rest, within = squares
    moments = [
        between - networks - images + rest,
        networks - rest,
        images - rest,
        rest - within,
        within,
    ]
    behind = [
        scores[0].size,
        n_samples * n_draws,
        n_training * n_draws,
        n_draws,
        1,
    ]  # scores behind a level
    split = zip(SOURCES, moments, behind, dofs, strict=True)
    return {name: (max(moment / number, 0.0), dof) for name, moment, number, dof in split if dof}


def repeated(scores: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each of `SOURCES` of each dataset, model, metric and method.

    Args:
        scores: columns `REPEATED`. Samples are numbered within their data seed.

    Raises:
        ValueError: names the metric and method that lack a score, for whichever data seed, training seed or draw.
    """
    cell, rows = ["data_seed", "seed", "sample", "draw"], []
    for place, part in groups(require(scores, REPEATED, "scores"), REPEATED[:4]):
        part = part.assign(sample=part.groupby("data_seed")["sample"].rank("dense"))
        means = part.groupby(cell)["score"].mean()
        shape = [part[name].nunique() for name in cell]
        if len(means) != np.prod(shape) or not np.isfinite(means).all():
            raise ValueError(
                f"scores of {place[3]} by {place[2]} on {place[0]} ({place[1]}) must be complete: "
                f"{shape[0]} data seeds x {shape[1]} training seeds x {shape[2]} samples x {shape[3]} draws = "
                f"{np.prod(shape)} finite numbers, got {int(np.isfinite(means).sum())}. Unbalanced tables are not "
                "split; find out what failed, or leave the method out."
            )
        found = nested(means.to_numpy(float).reshape(shape))
        total = sum(variance for variance, _ in found.values())
        rows += [
            (
                *place,
                source,
                variance / total if total > 0 else float("nan"),
                variance,
                dof,
                float(means.mean()),
            )
            for source, (variance, dof) in found.items()
        ]
    return pd.DataFrame(rows, columns=[*REPEATED[:4], "source", "share", "variance", "dof", "mean"])

"""Scores of a run that is repeated in all that is random → the variance that each source makes.

For each method the scores are a nested table: networks and samples belong to a data seed, and draws
of the explainer belong to one map. The variance is split by the method of moments: each mean square
is equated with its expectation (searle1992variance, chapter 4), and a negative estimate counts as
0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

from gpex_bench.tables.columns import require
from gpex_bench.tables.order import groups

SOURCES = ("data seed", "training seed", "sample", "residual", "explainer seed")
PLACE = ("dataset", "model", "metric", "method")
LEVELS = ("data_seed", "seed", "sample", "draw")
REPEATED = (*PLACE, "data_seed", "seed", "draw", "sample", "score")
COLUMNS = (*PLACE, "source", "share", "variance", "dof", "mean")


def with_levels(
    scores: pd.DataFrame,
    data_seeds: Mapping[str, tuple[str, int]],
    draws: Mapping[str, tuple[str, int]],
) -> pd.DataFrame:
    """Return the scores of a run with data seeds and draws in columns of their own (`REPEATED`).

    Args:
        scores: the run's scores.
        data_seeds: for each dataset of the run, what it is called here, and its seed.
        draws: for each method of the run, what it is called here, and which draw it is.
    """
    names = {
        "dataset": {run_id: name for run_id, (name, _) in data_seeds.items()},
        "method": {run_id: name for run_id, (name, _) in draws.items()},
    }
    seeds = {run_id: seed for run_id, (_, seed) in data_seeds.items()}
    numbers = {run_id: number for run_id, (_, number) in draws.items()}

    placed = scores.assign(
        data_seed=scores["dataset"].map(seeds),
        draw=scores["method"].map(numbers),
        dataset=scores["dataset"].map(names["dataset"]),
        method=scores["method"].map(names["method"]),
    )
    return placed[list(REPEATED)]


def split(scores: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each of `SOURCES` of each dataset, model, metric and method (`COLUMNS`).

    Args:
        scores: columns `REPEATED`. Samples are numbered within their data seed.

    Raises:
        ValueError: names the metric and the method that lack a score.
    """
    rows = []
    for key, part in groups(require(scores, REPEATED, "scores"), PLACE):
        means = _complete(part, key)
        shape = [means.index.get_level_values(level).nunique() for level in LEVELS]
        found = components(means.to_numpy(float).reshape(shape))

        total = sum(variance for variance, _ in found.values())
        for source, (variance, dof) in found.items():
            share = variance / total if total > 0 else math.nan
            rows.append((*key, source, share, variance, dof, float(means.mean())))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _complete(scores: pd.DataFrame, key: tuple[str, ...]) -> pd.Series:
    """Return the scores of one method by `LEVELS`; raises ValueError where one is missing."""
    levels = list(LEVELS)
    # the samples of two data seeds have different identities; only their number counts
    numbered = scores.assign(sample=scores.groupby("data_seed")["sample"].rank("dense"))
    means = numbered.groupby(levels)["score"].mean()
    shape = [numbered[name].nunique() for name in levels]

    if len(means) != np.prod(shape) or not np.isfinite(means).all():
        dataset, model, metric, method = key
        raise ValueError(
            f"scores of {method} by {metric} on {dataset} ({model}) must be complete: {shape[0]} "
            f"data seeds x {shape[1]} training seeds x {shape[2]} samples x {shape[3]} draws = "
            f"{np.prod(shape)} finite numbers, got {int(np.isfinite(means).sum())}. Unbalanced "
            "tables are not split; find out what failed, or leave the method out."
        )
    return means


def components(
    scores: Float[np.ndarray, "data training sample draw"],
) -> dict[str, tuple[float, int]]:
    """Return variance and degrees of freedom of each of `SOURCES`.

    A score is mean + data + training(data) + sample(data) + residual(data, training, sample)
    + draw(of this map), all independent. So a network's effect on all samples of its dataset is
    separated from its effect on one of them. With one draw there is no explainer seed, and the
    residual holds its variance.

    Raises:
        ValueError: fewer than two data seeds, training seeds or samples.
    """
    n_data, n_training, n_samples, n_draws = scores.shape
    for name, size in zip(SOURCES, scores.shape[:3], strict=False):
        if size < 2:
            raise ValueError(
                f"scores must hold at least 2 levels of the {name}, got {size}; "
                "repeat the run with more."
            )

    dofs = {
        "data seed": n_data - 1,
        "training seed": n_data * (n_training - 1),
        "sample": n_data * (n_samples - 1),
        "residual": n_data * (n_training - 1) * (n_samples - 1),
        "explainer seed": n_data * n_training * n_samples * (n_draws - 1),
    }
    square = {
        source: float((effect**2).sum()) * scores.size / effect.size / dofs[source]
        if dofs[source]
        else 0.0
        for source, effect in _effects(scores).items()
    }
    rest = square["residual"]
    moments = {
        "data seed": square["data seed"] - square["training seed"] - square["sample"] + rest,
        "training seed": square["training seed"] - rest,
        "sample": square["sample"] - rest,
        "residual": rest - square["explainer seed"],
        "explainer seed": square["explainer seed"],
    }
    scores_per_level = {
        "data seed": n_training * n_samples * n_draws,
        "training seed": n_samples * n_draws,
        "sample": n_training * n_draws,
        "residual": n_draws,
        "explainer seed": 1,
    }
    return {
        source: (max(moments[source] / scores_per_level[source], 0.0), dofs[source])
        for source in SOURCES
        if dofs[source]
    }


def _effects(
    scores: Float[np.ndarray, "data training sample draw"],
) -> dict[str, np.ndarray]:
    """Return the effect of each level of each source."""
    # relative to the first draw, so that equal draws differ by 0 and not by rounding
    drawn = scores - scores[..., :1]
    maps = scores[..., 0] + drawn.mean(3)

    network = maps.mean(2)
    image = maps.mean(1)
    data = maps.mean((1, 2))
    return {
        "data seed": data - data.mean(),
        "training seed": network - data[:, None],
        "sample": image - data[:, None],
        "residual": maps - network[:, :, None] - image[:, None] + data[:, None, None],
        "explainer seed": drawn - drawn.mean(3, keepdims=True),
    }

"""How far fills agree on the order of methods: Kendall's tau between the orders under two fills.

Its interval comes from drawing the samples again; training seeds are averaged first. All fills, and
both kinds of units, share the draws, so that differences have intervals too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from gpex_bench.statistics.bootstrap import percentile_interval

PIXELS, SEGMENTS = "srg", "srg_segments"
DIFFERENCE = f"{SEGMENTS} - {PIXELS}"
COLUMNS = ("metric", "mean_tau", "low", "high", "lowest", "verdict")


def agreement(scores: pd.DataFrame, methods: Sequence[str], n_resamples: int) -> pd.DataFrame:
    """Return the mean tau over pairs of fills of pixels, of superpixels, and their difference.

    Args:
        scores: of one network and output: method, metric, fill, seed, sample, score.
        methods: those that are ordered.
        n_resamples: draws of the samples.
    """
    cubes = {metric: _cube(scores, metric, methods) for metric in (PIXELS, SEGMENTS)}
    n_samples = cubes[PIXELS].shape[2]
    draws = np.random.default_rng(0).integers(n_samples, size=(n_resamples, n_samples))

    rows, resampled = [], {}
    for metric, cube in cubes.items():
        taus = _taus(cube.mean(2)[None])[0]
        resampled[metric] = np.stack([_taus(_means(cube, draw))[0] for draw in draws]).mean(1)
        ends = _ends(resampled[metric], n_samples)
        rows.append((metric, taus.mean(), *ends, taus.min(), ""))

    gap = rows[1][1] - rows[0][1]
    low, high = _ends(resampled[SEGMENTS] - resampled[PIXELS], n_samples)
    verdict = "more consistent" if low > 0 else "less consistent" if high < 0 else "not shown"
    rows.append((DIFFERENCE, gap, low, high, np.nan, verdict))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _cube(
    scores: pd.DataFrame, metric: str, methods: Sequence[str]
) -> Float[np.ndarray, "method fill sample"]:
    """Return the scores by a metric, averaged over the training seeds."""
    own = scores[(scores["metric"] == metric) & scores["method"].isin(list(methods))]
    means = own.groupby(["method", "fill", "sample"])["score"].mean()
    wide = means.unstack("sample")
    n_methods = wide.index.get_level_values("method").nunique()
    return wide.to_numpy().reshape(n_methods, -1, wide.shape[1])


def _means(
    cube: Float[np.ndarray, "method fill sample"], draw: Int[np.ndarray, "sample"]
) -> Float[np.ndarray, "1 method fill"]:
    return cube[:, :, draw].mean(2)[None]


def _taus(means: Float[np.ndarray, "draw method fill"]) -> Float[np.ndarray, "draw pair"]:
    """Return Kendall's tau-a between the orders of methods under each two fills."""
    n_methods, n_fills = means.shape[1:]
    first, second = np.triu_indices(n_methods, 1)
    ahead = np.sign(means[:, first] - means[:, second])
    pairs = list(combinations(range(n_fills), 2))
    taus = [(ahead[..., one] * ahead[..., other]).mean(1) for one, other in pairs]
    return np.stack(taus, 1)


def _ends(values: Float[np.ndarray, "draw"], n_samples: int) -> tuple[float, float]:
    """Return the ends of the percentile interval."""
    low, high = percentile_interval(values[:, None], n_samples)
    return float(low[0]), float(high[0])

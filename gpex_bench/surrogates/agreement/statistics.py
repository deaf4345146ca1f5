"""Statistics that compare a surrogate's predictions with a network's outputs, in float64.

All are pure functions of arrays. For one head with outputs y, means m, variances s2 and errors
e = m - y over the items of a split:

    pearson       correlation of y and m
    r2            1 - sum e^2 / sum (y - mean y)^2
    rmse_sd       root mean e^2, over the standard deviation of y
    nll           mean of (log(2 pi s2 / sd^2) + e^2 / s2) / 2: the negative log density of y,
                  with y in units of its standard deviation sd
    coverage_90   share of y in the central 90 % interval of N(m, s2); likewise 50 and 95
    auroc         how well s2 ranks the tenth with the largest |e| above the rest:
                  0.5 not at all, 1 without a mistake
    spearman      rank correlation of s and |e|

Outputs are calculated in float32: what differs by less than ROUNDING of the largest output counts
as equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

LEVELS = (50, 90, 95)  # per cent of the intervals whose coverage is reported
FEW = 0.1  # share of the items that count as large errors, and as near the decision boundary
ROUNDING = 4 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True, eq=False)
class Outputs:
    """Predictions of network and surrogate for the same items, each [item, head]."""

    network: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    def __post_init__(self) -> None:
        if self.network.shape != self.mean.shape:
            raise ValueError(
                f"mean must have the shape of network, {self.network.shape}, got {self.mean.shape}."
            )


def per_head(found: Outputs) -> dict[str, np.ndarray]:
    """Return each statistic, [head]; NaN where it is undefined.

    Where the network's output is constant, pearson, r2, rmse_sd and nll are undefined; where only
    the surrogate's is, pearson is 0: it follows nothing of what varies. Where errors are all alike,
    auroc and spearman are undefined; where only the variance is constant, they are 0.5 and 0: it is
    not informative.
    """
    y = found.network
    error = np.abs(found.mean - y)
    size = np.abs(y).max(axis=0)
    sd = np.where(varies(y), y.std(axis=0), np.nan)

    r = np.where(varies(found.mean), correlation(y, found.mean), 0.0)
    rmse = np.sqrt((error**2).mean(axis=0)) / sd
    table = {
        "pearson": np.where(np.isnan(sd), np.nan, r),
        "r2": 1 - rmse**2,
        "rmse_sd": rmse,
        **of_intervals(found),
    }

    is_defined = np.ptp(error, axis=0) > ROUNDING * size
    is_varying = varies(found.variance)
    variance = np.where(is_varying, found.variance, 1.0)
    table["auroc"] = np.where(is_defined, auroc(variance, large(error)), np.nan)
    spearman = correlation(stats.rankdata(variance, axis=0), stats.rankdata(error, axis=0))
    table["spearman"] = np.where(is_defined, np.where(is_varying, spearman, 0.0), np.nan)
    return table


def of_intervals(found: Outputs) -> dict[str, np.ndarray]:
    """Return nll and coverage of each head: what one factor on its variance changes."""
    y = found.network
    size = np.abs(y).max(axis=0)
    sd = np.where(varies(y), y.std(axis=0), np.nan)
    least_variance = (ROUNDING * size / sd) ** 2

    table = {"nll": nll((found.mean - y) / sd, found.variance / sd**2, least_variance)}
    for level in LEVELS:
        table[f"coverage_{level}"] = coverage(found, level / 100)
    return table


def varies(values: np.ndarray) -> np.ndarray:
    """Return whether each column varies by more than rounding."""
    least = ROUNDING * np.abs(values).max(axis=0)
    is_varying: np.ndarray = np.ptp(values, axis=0) > least
    return is_varying


def correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the Pearson correlation of each column; NaN where one is constant."""
    a = first - first.mean(axis=0)
    b = second - second.mean(axis=0)
    power_a = (a**2).sum(axis=0)
    power_b = (b**2).sum(axis=0)
    size = np.sqrt(power_a * power_b)

    product = (a * b).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        r: np.ndarray = product / size
    return r


def nll(error: np.ndarray, variance: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Return the mean negative log density of each column.

    Variances below `least`, that of rounding, are raised to it.
    """
    variance = np.maximum(variance, least)
    with np.errstate(divide="ignore", invalid="ignore"):
        density = 0.5 * (np.log(2 * np.pi * variance) + error**2 / variance)
        mean: np.ndarray = density.mean(axis=0)
    return mean


def coverage(found: Outputs, level: float) -> np.ndarray:
    """Return the share of each column's outputs in the central interval of this level."""
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(found.variance)
    is_covered = np.abs(found.mean - found.network) <= half
    share: np.ndarray = is_covered.mean(axis=0)
    return np.where(np.isnan(found.variance).any(axis=0), np.nan, share)


def large(error: np.ndarray) -> np.ndarray:
    """Return which entries are in the largest tenth of their column, ties included."""
    n_large = int(-(-len(error) * FEW // 1))
    least = np.sort(error, axis=0)[-n_large]
    is_large: np.ndarray = error >= least
    return is_large


def auroc(score: np.ndarray, is_positive: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of each column; NaN without both kinds of entries."""
    n_positive = is_positive.sum(axis=0)
    n_pairs = n_positive * (len(score) - n_positive)
    rank_sum = (stats.rankdata(score, axis=0) * is_positive).sum(axis=0)
    least_sum = n_positive * (n_positive + 1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        area: np.ndarray = (rank_sum - least_sum) / n_pairs
    return area


def over_heads(
    found: Outputs, table: dict[str, np.ndarray], is_choice: bool = True
) -> dict[str, float]:
    """Return the mean of each statistic, and the smallest pearson and r2, over the heads.

    Only heads for which a statistic is defined count. `is_choice`: heads compete, as classes and
    places do; then also argmax_agreement: the share of items on which the same head is the largest.
    """
    result = {"argmax_agreement": argmax_agreement(found)} if is_choice else {}
    for name, column in table.items():
        defined = column[~np.isnan(column)]
        result[f"mean_{name}"] = float(defined.mean()) if len(defined) else np.nan
        if name in ("pearson", "r2"):
            result[f"weakest_{name}"] = float(defined.min()) if len(defined) else np.nan
    return result


def of_classes(found: Outputs) -> dict[str, float]:
    """Return the statistics that take the heads for logits of classes, at least two of them.

    kl: mean Kullback-Leibler divergence of the network's softmax from the surrogate's, in nats.
    boundary_*: argmax agreement, and mean r2 over heads, among the tenth of the items on which the
    network's two largest logits are nearest to one another.
    """
    log_p = special.log_softmax(found.network, axis=1)
    log_q = special.log_softmax(found.mean, axis=1)
    divergence = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)

    top = np.sort(found.network, axis=1)
    margin = top[:, -1] - top[:, -2]
    n_near = int(-(-len(top) * FEW // 1))
    near = np.argsort(margin, kind="stable")[:n_near]
    boundary = Outputs(found.network[near], found.mean[near], found.variance[near])
    r2 = over_heads(boundary, {"r2": per_head(boundary)["r2"]}, is_choice=False)["mean_r2"]
    return {
        "kl": float(divergence.mean()),
        "boundary_argmax_agreement": argmax_agreement(boundary),
        "boundary_r2": r2,
    }


def of_one_logit(found: Outputs) -> dict[str, float]:
    """Return argmax_agreement and those of classes for the one logit of two classes.

    It stands for two logits of which the first is 0, so that the same class is the same sign.
    """
    zero = np.zeros_like(found.network)
    pair = Outputs(
        network=np.hstack([zero, found.network]),
        mean=np.hstack([zero, found.mean]),
        variance=np.hstack([np.ones_like(zero), found.variance]),
    )
    return {"argmax_agreement": argmax_agreement(pair), **of_classes(pair)}


def of_labels(found: Outputs) -> dict[str, float]:
    """Return label_agreement: the share of items and labels on which both logits have one sign."""
    is_same = (found.network > 0) == (found.mean > 0)
    return {"label_agreement": float(is_same.mean())}


def argmax_agreement(found: Outputs) -> float:
    """Return the share of items on which network and surrogate are largest at the same head."""
    is_same = found.network.argmax(axis=1) == found.mean.argmax(axis=1)
    return float(is_same.mean())

"""Wilcoxon's signed-rank test, as the consistency of metrics is defined by it.

Differences of zero by Pratt's rule (wilcoxon1945individual, pratt1959remarks); exact where few
differences are not zero, also with ties.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import stats

# Up to so many differences that are not zero the exact distribution is used, as they came.
EXACT = 50

# Pairs whose distributions are held in memory at a time.
TOGETHER = 2000


def signed_rank(
    differences: Float[np.ndarray, "sample pair"],
) -> tuple[Float[np.ndarray, "pair"], Float[np.ndarray, "pair"]]:
    """Return the two-sided p value and the rank-biserial effect size of each column.

    The effect size is the sum of the signed ranks over the sum of the ranks (kerby2014simple). A
    column whose differences are all zero has p = 1 and effect 0.

    Args:
        differences: NaN where there is none.
    """
    known = np.isfinite(differences)
    size = np.where(known, np.abs(differences), np.nan)
    ranks = stats.rankdata(size, axis=0, nan_policy="omit")
    signed = np.where(known, np.sign(differences), 0.0) * np.where(known, ranks, 0.0)

    n_pairs = differences.shape[1]
    total = np.abs(signed).sum(0)
    moved = total > 0
    effect = np.zeros(n_pairs)
    effect[moved] = signed.sum(0)[moved] / total[moved]

    # SciPy's exact distribution is that without zeros and ties.
    few = (signed != 0).sum(0) <= EXACT
    in_order = np.sort(size, axis=0)
    is_plain = ~(np.diff(in_order, axis=0, prepend=0.0) == 0).any(0)

    p_value = np.ones(n_pairs)
    tied = few & ~is_plain & moved
    if tied.any():
        p_value[tied] = exact_p(signed[:, tied])
    for columns, method in ((few & is_plain & moved, "exact"), (~few & moved, "asymptotic")):
        if columns.any():
            p_value[columns] = stats.wilcoxon(
                differences[:, columns],
                zero_method="pratt",
                method=method,
                axis=0,
                nan_policy="omit",
            ).pvalue
    return p_value, effect


def exact_p(signed: Float[np.ndarray, "sample pair"]) -> Float[np.ndarray, "pair"]:
    """Return two-sided p values of the signed-rank statistic given the ranks that came.

    Each sign is as likely as the other, so the distribution of the sum of positive ranks is a
    convolution; mid-ranks of ties are halves, so everything is counted in halves. Without zeros and
    ties this is Wilcoxon's table.

    Args:
        signed: ranks with the sign of the difference; 0 for a difference of zero.
    """
    halves = np.rint(2 * signed).astype(np.int64)
    p_value = np.empty(halves.shape[1])
    for start in range(0, len(p_value), TOGETHER):
        columns = slice(start, start + TOGETHER)
        part = halves[:, columns]
        share = _distribution(np.abs(part))

        # The chance of a sum as small as the one observed, and of one as large.
        place = np.arange(share.shape[1])
        observed = np.where(part > 0, part, 0).sum(0)[:, None]
        below = np.where(place <= observed, share, 0.0).sum(1)
        above = np.where(place >= observed, share, 0.0).sum(1)

        one_sided = np.minimum(below, above)
        p_value[columns] = np.minimum(1.0, 2 * one_sided)
    return p_value


def _distribution(ranks: np.ndarray) -> Float[np.ndarray, "pair sum"]:
    """Return the chance of each sum of positive ranks, of ranks [sample, pair] in halves."""
    largest_sum = int(ranks.sum(0).max())
    share = np.zeros((ranks.shape[1], largest_sum + 1))
    share[:, 0] = 1.0

    # Each rank is added with chance 1/2, or not.
    place = np.arange(share.shape[1])
    for rank in ranks:
        before = place - rank[:, None]
        moved = np.take_along_axis(share, np.maximum(before, 0), 1)
        added = np.where(before >= 0, moved, 0.0)
        share = (share + added) / 2
    return share

"""Scores of a run → by how much each claimed method is ahead, for each training seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from gpex_bench.studies.claims.plan import Claim
from gpex_bench.tables.columns import NETWORK, SCORES, require
from gpex_bench.tables.order import groups

# `ahead` is positive where the claimed method has the better mean, whatever the metric's direction;
# `spread` is the standard deviation over samples of the two methods' scores (root mean square).
LEADS = ("claim", *NETWORK, "method", "other", "metric", "seed", "ahead", "spread")


def leads(
    scores: pd.DataFrame, claims: Sequence[Claim], higher_is_better: Mapping[str, bool]
) -> pd.DataFrame:
    """Return one row for each claim, network, compared method and training seed (`LEADS`).

    Seeds on which one of the two methods has no score have no row. A sample's score is its mean
    over targets, and the two methods are compared on the samples that both have.

    Args:
        scores: columns `SCORES`.
        claims: in the order of the page.
        higher_is_better: by metric.
    """
    rows = []
    for number, claim in enumerate(claims):
        sign = 1 if higher_is_better[claim.metric] else -1
        own = scores[scores["metric"] == claim.metric]
        for network, part in groups(require(own, SCORES, "scores"), NETWORK):
            by_method = part.pivot_table(
                index=["seed", "sample"], columns="method", values="score", aggfunc="mean"
            )
            for other in claim.than:
                if not {claim.method, other} <= set(by_method.columns):
                    continue
                both = by_method[[claim.method, other]].dropna()
                for seed, pair in both.groupby(level="seed"):
                    ahead, spread = _lead(pair.to_numpy(float), sign)
                    key = (number, *network, claim.method, other, claim.metric, seed)
                    rows.append((*key, ahead, spread))
    return pd.DataFrame(rows, columns=list(LEADS))


def _lead(pair: np.ndarray, sign: int) -> tuple[float, float]:
    """Return how far the first method is ahead, and the spread of both over samples.

    Args:
        pair: scores [sample, two methods].
        sign: 1 if a higher score is better, else -1.
    """
    ahead = sign * float((pair[:, 0] - pair[:, 1]).mean())
    spread = float(np.sqrt(pair.var(axis=0).mean()))
    return ahead, spread

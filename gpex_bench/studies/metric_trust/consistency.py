"""How a trustworthy metric reacts to perturbations (hedstroem2023meta).

Each method's scores are compared with its own unperturbed ones.

- Noise resilience: under a minor perturbation the scores stay (p value of Wilcoxon's test), and the
  methods keep their ranks within a sample (share of methods that do).
- Adversary reactivity: under a disruptive perturbation the scores change (1 - p) and get worse
  (share of scores that do).
- Meta-consistency: the mean of these four.

All are in [0, 1], and 1 is best. Departure: the authors' code compares the methods at each place of
the sorted order; here each method's rank is compared, which is what their paper defines.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from gpex_bench.studies.metric_trust.measure import PERTURBED
from gpex_bench.studies.metric_trust.plan import STRENGTHS
from gpex_bench.studies.metric_trust.signed_rank import signed_rank
from gpex_bench.tables.columns import require
from gpex_bench.tables.order import groups

WHOLE = "meta-consistency"
PARTS = (
    "noise resilience (scores)",
    "noise resilience (ranks)",
    "adversary reactivity (scores)",
    "adversary reactivity (ranks)",
)
PLACE = ("dataset", "model", "metric", "space")
COLUMNS = (*PLACE, "property", "value", "low", "high")


def meta_consistency(
    scores: pd.DataFrame, perturbed: pd.DataFrame, higher_is_better: Mapping[str, bool]
) -> pd.DataFrame:
    """Return one row for each network, metric, space and property.

    `value` is the mean over the perturbations, `low` and `high` the smallest and the largest one.

    Args:
        scores: the unperturbed ones: dataset, model, seed, method, metric, sample, score.
        perturbed: the same under perturbed networks or inputs; `space` is "network" or "input",
            `strength` is "minor" or "disruptive", `perturbation` counts the repetitions. Samples
            whose prediction changes under a minor perturbation (or does not under a disruptive one)
            should not be in it.
        higher_is_better: direction of each metric.

    Raises:
        ValueError: a column is missing, or a strength is unknown.
    """
    require(perturbed, ("dataset", "model", *PERTURBED), "perturbed")
    unknown = sorted(set(perturbed["strength"]) - set(STRENGTHS))
    if unknown:
        raise ValueError(f"perturbed.strength must be one of {STRENGTHS}, got {unknown}.")

    rows = []
    intact = dict(list(groups(scores, PLACE[:3])))
    for (*place, space), part in groups(perturbed, PLACE):
        sign = 1 if higher_is_better[place[2]] else -1
        properties = _properties(sign * _means(intact[tuple(place)]), part, sign)

        for name, values in properties.items():
            summary = (float(np.mean(values)), float(np.min(values)), float(np.max(values)))
            rows.append((*place, space, name, *summary))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _properties(base: pd.DataFrame, perturbed: pd.DataFrame, sign: int) -> dict[str, list[float]]:
    """Return each property's values, one for each perturbation, and their mean if all are known."""
    found: dict[str, list[float]] = {}
    for (strength, _), part in groups(perturbed, ["strength", "perturbation"]):
        reactions = _reactions(base, sign * _means(part), strength)
        for name, value in reactions.items():
            found.setdefault(name, []).append(value)

    if set(found) == set(PARTS):
        means = [np.mean(values) for values in found.values()]
        found[WHOLE] = [float(np.mean(means))]
    return found


def _means(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a score for each sample (rows) and method (columns), averaged over the seeds."""
    by_seed = scores.groupby(["sample", "method", "seed"])["score"].mean()
    return by_seed.groupby(["sample", "method"]).mean().unstack("method")


def _reactions(base: pd.DataFrame, other: pd.DataFrame, strength: str) -> dict[str, float]:
    """Return the two properties of one perturbation; none where no sample has all scores."""
    before, after = (frame.dropna() for frame in base.align(other, join="inner"))
    before, after = before.align(after, join="inner")
    if before.empty:
        return {}

    p_values, _ = signed_rank((after - before).to_numpy())
    if strength == "minor":
        is_kept = stats.rankdata(before, axis=1) == stats.rankdata(after, axis=1)
        return {
            "noise resilience (scores)": float(p_values.mean()),
            "noise resilience (ranks)": float(is_kept.mean()),
        }

    is_worse = (after < before).to_numpy()
    return {
        "adversary reactivity (scores)": float(1 - p_values.mean()),
        "adversary reactivity (ranks)": float(is_worse.mean()),
    }

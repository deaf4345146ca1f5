"""Accuracies of retrained networks, compared with those after random removal.

A training seed gives one number for each method: the mean over the shares that were removed.
Numbers are compared with those of random removal seed by seed, the maps of the network on permuted
labels with those of the sibling. p values are corrected for the methods of a network and measure
(Holm). Intervals are 95 % t intervals over training seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gpex_bench.statistics.pairs import holm
from gpex_bench.statistics.seeds import difference
from gpex_bench.tables.columns import LEVEL, NETWORK
from gpex_bench.tables.order import groups

# compared with chance
ACCURACIES = ("roar", "kar", "masks")
# compared with the maps of the sibling
LIKENESSES = {"permuted": "sibling", "permuted_absolute": "sibling_absolute"}
# where less is better: ROAR rewards what is lost, and maps should change with the labels
LESS_IS_BETTER = ("roar", *LIKENESSES)
# written where there is nothing to compare with, as for chance itself
NO_GAIN = {"gain": np.nan, "gain_low": np.nan, "gain_high": np.nan, "p_value": np.nan}


def compare(cells: pd.DataFrame, chance: str) -> pd.DataFrame:
    """Return a row per network, measure and method: mean over shares and seeds, gain, p value.

    Args:
        cells: dataset, model, seed, method, measure, share, value.
        chance: run id of random removal.

    Returns:
        `gain` is, for accuracies, how much lower (`roar`) or higher than chance's, and for
        `permuted` how much lower than the sibling's; NaN for what is compared with. `p_value` is
        corrected for the methods.
    """
    removed = cells[(cells["share"] > 0) | ~cells["measure"].isin(ACCURACIES)]
    means = removed.groupby([*NETWORK, "measure", "method", "seed"])["value"].mean()

    rows = []
    for (dataset, model, measure), part in groups(removed, [*NETWORK, "measure"]):
        of_network = means.loc[(dataset, model)]
        block = []
        for method in sorted(set(part["method"])):
            own = of_network.loc[(measure, method)]
            other = _reference(of_network, measure, method, chance)
            key = {
                "dataset": dataset,
                "model": model,
                "measure": measure,
                "method": method,
            }
            block.append(key | mean_of_seeds(own) | _gain(own, other, measure))
        rows += _corrected(block)
    return pd.DataFrame(rows)


def curves(cells: pd.DataFrame) -> pd.DataFrame:
    """Return means and intervals of the accuracies at each share."""
    keys = [*NETWORK, "measure", "method", "share"]
    accuracies = cells[cells["measure"].isin(ACCURACIES)]

    rows = []
    for values, part in groups(accuracies, keys):
        key = dict(zip(keys, values, strict=True))
        by_seed = part.set_index("seed")["value"]
        rows.append(key | mean_of_seeds(by_seed))
    return pd.DataFrame(rows)


def mean_of_seeds(values: pd.Series) -> dict[str, Any]:
    """Return the mean over the seeds with its t interval."""
    mean = difference(values, 0 * values)
    return {"mean": mean.mean, "low": mean.low, "high": mean.high, "n_seeds": mean.n_seeds}


def verdict(row: dict[str, Any]) -> str:
    """Return what a comparison shows: better, worse, not significant, or not tested."""
    if np.isnan(row["p_value"]):
        return "not tested"
    if row["p_value"] >= LEVEL:
        return "not significant"
    return "better" if row["gain"] > 0 else "worse"


def _reference(means: pd.Series, measure: str, method: str, chance: str) -> pd.Series | None:
    """Return what a method's numbers are compared with, by seed; None where there is nothing.

    Args:
        means: of one network, by measure, method and seed.
        measure: what was measured.
        method: whose numbers are compared.
        chance: run id of random removal.
    """
    if measure in LIKENESSES:
        return means.loc[(LIKENESSES[measure], method)]
    is_chance = method == chance
    if measure not in ACCURACIES or is_chance or (measure, chance) not in means.index:
        return None
    return means.loc[(measure, chance)]


def _gain(own: pd.Series, other: pd.Series | None, measure: str) -> dict[str, Any]:
    """Return how much better the numbers are than others, paired by seed."""
    if other is None:
        return dict(NO_GAIN)

    sign = -1 if measure in LESS_IS_BETTER else 1
    gain = difference(sign * own, sign * other)
    return {
        "gain": gain.mean,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "p_value": gain.p_value,
    }


def _corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with p values that allow for their number; NaN stays NaN."""
    p_values = np.array([row["p_value"] for row in rows], dtype=float)
    is_tested = ~np.isnan(p_values)
    p_values[is_tested] = holm(p_values[is_tested])

    corrected = []
    for row, p_value in zip(rows, p_values.tolist(), strict=True):
        corrected.append(row | {"p_value": p_value})
    return corrected

"""How the best subset of an evolutionary explainer improves with the rows it has spent."""

from __future__ import annotations

import math

import pandas as pd

from gpex_bench.statistics.means import interval
from gpex_bench.tables.order import groups, records

KEYS = ["dataset", "model", "method"]
SCORES = ["rows", "best", "low", "high", "progress", "whole"]
COLUMNS = [*KEYS, "generation", *SCORES, "n_samples", "n_seeds"]
MOST = 0.95  # share of the way after which little is left to gain


def summary(convergence: pd.DataFrame) -> pd.DataFrame:
    """Return one row per network, method and generation (`COLUMNS`).

    `best`: mean fitness of the best subset so far, with an interval over the samples (training
    seeds are averaged first); `rows`: mean rows spent until then; `progress`: share of the way from
    the first generation's mean to the last one's; `whole`: mean fitness of keeping everything.

    Args:
        convergence: dataset, model, method, seed, budget, sample, generation, rows, best, whole.
    """
    rows = []
    for key, part in groups(convergence, KEYS):
        means = part.groupby(["generation", "sample"])[["rows", "best", "whole"]].mean()
        best = means["best"].unstack("sample").to_numpy(dtype=float)  # [generation, sample]
        first = best[0].mean()
        way = best[-1].mean() - first

        place = dict(zip(KEYS, key, strict=True))
        counts = {"n_samples": best.shape[1], "n_seeds": part["seed"].nunique()}
        for generation, values in enumerate(best):
            mean = values.mean()
            low, high = interval(values)
            spent = means.loc[generation]
            row = {
                "generation": generation,
                "rows": spent["rows"].mean(),
                "best": mean,
                "low": low,
                "high": high,
                "progress": (mean - first) / way if way > 0 else math.nan,
                "whole": spent["whole"].mean(),
            }
            rows.append(place | counts | row)
    return pd.DataFrame(rows, columns=COLUMNS)


def rows_for(table: pd.DataFrame, share: float) -> float:
    """Return the rows after which one method's curve has made this share of its way, or NaN."""
    far = table[table["progress"] >= share]
    return float(far["rows"].min()) if len(far) else math.nan


def ends(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per network and method: where its curve starts and ends, and how soon.

    Columns: `KEYS`, start (fitness of the first generation), best (of the last one, with its
    interval), rows, whole, rows_half and rows_most (after half and MOST of the way).

    Args:
        table: of `summary`.
    """
    rows = []
    for key, part in groups(table, KEYS):
        first, *_, last = records(part.sort_values("generation"))
        rows.append(
            dict(zip(KEYS, key, strict=True))
            | {
                "start": first["best"],
                "best": last["best"],
                "best_low": last["low"],
                "best_high": last["high"],
                "rows": last["rows"],
                "whole": last["whole"],
                "rows_half": rows_for(part, 0.5),
                "rows_most": rows_for(part, MOST),
            }
        )
    return pd.DataFrame(rows)

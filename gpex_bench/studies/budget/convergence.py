"""How the best subset of an evolutionary explainer improves with the rows it has spent."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gpex_bench.statistics.bootstrap import interval
from gpex_bench.tables.order import groups

KEYS = ["dataset", "model", "method"]
COLUMNS = [
    *KEYS,
    "generation",
    "rows",
    "best",
    "low",
    "high",
    "progress",
    "whole",
    "n_samples",
    "n_seeds",
]


def summary(convergence: pd.DataFrame) -> pd.DataFrame:
    """Return one row per network, method and generation.

    `best`: mean fitness of the best subset so far, with an interval over the samples (training seeds are averaged
    first); `rows`: mean rows spent until then; `progress`: share of the way from the first generation's mean to the
    last one's; `whole`: mean fitness of keeping everything.

    Args:
        convergence: dataset, model, method, seed, budget, sample, generation, rows, best, whole.
    """
    rows = []
    for key, part in groups(convergence, KEYS):
        means = part.groupby(["generation", "sample"])[["rows", "best", "whole"]].mean()
        best = means["best"].unstack("sample").to_numpy(dtype=float)  # [generation, sample]
        first, last = best[0].mean(), best[-1].mean()
        n = best.shape[1]
        for generation, values in enumerate(best):
            here = means.loc[generation]
            found = dict(zip(KEYS, key, strict=True)) | {"generation": generation, "n_samples": n}
            low, high = interval(values, "/".join(key[:2]))
            found |= {"rows": here["rows"].mean(), "best": values.mean(), "low": low, "high": high}
            found["progress"] = (values.mean() - first) / (last - first) if last > first else np.nan
            rows.append(found | {"whole": here["whole"].mean(), "n_seeds": part["seed"].nunique()})
    return pd.DataFrame(rows, columns=COLUMNS)


def rows_for(table: pd.DataFrame, share: float) -> float:
    """Return the rows after which one method's curve has made this share of its way; NaN if it made none."""
    far = table[table["progress"] >= share]
    return float(far["rows"].min()) if len(far) else float("nan")

"""How stable each method is: the agreement between its seeds as means with intervals."""

from __future__ import annotations

import pandas as pd

from gpex_bench.statistics.means import interval
from gpex_bench.tables.order import groups

KEYS = ["dataset", "model", "method"]
MEASURES = ("jaccard", "spearman")
ENDS = [f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")]
COLUMNS = [*KEYS, "budget", "status", "reason", *ENDS, "n_samples", "n_seeds"]


def summary(stability: pd.DataFrame) -> pd.DataFrame:
    """Return one row per network and method (`COLUMNS`).

    Mean Jaccard index and rank correlation, with intervals over the samples.

    Args:
        stability: dataset, model, method, budget, status, reason, sample, jaccard, spearman,
            n_seeds.
    """
    rows = []
    for key, part in groups(stability, KEYS):
        first = part.iloc[0]
        row = dict(zip(KEYS, key, strict=True))
        row |= {name: first[name] for name in ("budget", "status", "reason")}
        if first["status"] != "ok":
            rows.append(row)
            continue

        samples = part.sort_values("sample")
        for name in MEASURES:
            values = samples[name].to_numpy(dtype=float)
            low, high = interval(values)
            row |= {name: values.mean(), f"{name}_low": low, f"{name}_high": high}
        rows.append(row | {"n_samples": len(part), "n_seeds": first["n_seeds"]})
    return pd.DataFrame(rows, columns=COLUMNS)

"""How stable each method is: the agreement between its seeds (`agreement`) as means with intervals."""

from __future__ import annotations

import pandas as pd

from gpex_bench.statistics.bootstrap import interval
from gpex_bench.tables.order import groups

MEASURES = ("jaccard", "spearman")


def summary(stability: pd.DataFrame) -> pd.DataFrame:
    """Return one row per network and method: mean Jaccard index and rank correlation with intervals over the samples.

    Args:
        stability: dataset, model, method, budget, status, reason, sample, jaccard, spearman, n_seeds.
    """
    keys = ["dataset", "model", "method"]
    rows = []
    for key, part in groups(stability, keys):
        first = part.iloc[0]
        found = dict(zip(keys, key, strict=True)) | {
            name: first[name] for name in ("budget", "status", "reason")
        }
        if first["status"] == "ok":
            for name in MEASURES:
                values = part.sort_values("sample")[name].to_numpy(dtype=float)
                low, high = interval(values, "/".join(key[:2]))
                found |= {name: values.mean(), f"{name}_low": low, f"{name}_high": high}
            found |= {"n_samples": len(part), "n_seeds": first["n_seeds"]}
        rows.append(found)
    ends = [f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")]
    return pd.DataFrame(
        rows, columns=[*keys, "budget", "status", "reason", *ends, "n_samples", "n_seeds"]
    )

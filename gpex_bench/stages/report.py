"""Tables → what the report derives from them: agreement over seeds, costs, facts on networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.report import AGREEMENT
from gpex_bench.statistics.outcomes import agreement_summary, cost_summary
from gpex_bench.tables.order import Record, control_ids


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Return the agreement of each head over the training seeds; empty without a surrogate."""
    if table.empty:
        return pd.DataFrame(columns=list(AGREEMENT))
    return agreement_summary(table)


def efficiency(
    tables: Mapping[str, pd.DataFrame],
    methods: Sequence[Record],
    metrics: Sequence[Record],
    headline: str,
) -> pd.DataFrame:
    """Return the cost and the headline score of each method."""
    is_higher_better = {record["metric"]: record["higher_is_better"] for record in metrics}
    return cost_summary(
        tables["cells"],
        tables["outcomes"],
        headline,
        is_higher_better[headline],
        control_ids(methods),
    )


def _each(texts: pd.Series) -> str:
    """Return the different texts of the training seeds, or a dash."""
    return "; ".join(sorted(set(texts) - {""})) or "–"


def facts(tables: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Return a row on each network: accuracies over the seeds and how much was explained."""
    cells = tables["cells"]

    rows = []
    for (dataset, model), networks in tables["networks"].groupby(["dataset", "model"]):
        usable = networks[networks["status"] == "ok"]
        accuracy = 100 * usable["test_accuracy"]
        lowest, highest = accuracy.min(), accuracy.max()
        shown = f"{accuracy.mean():.1f} % ({lowest:.1f} to {highest:.1f})"
        is_here = (cells["dataset"] == dataset) & (cells["model"] == model)

        rows.append(
            {
                "dataset": dataset,
                "network": model,
                "training seeds": len(usable),
                "test accuracy": shown if len(usable) else "cannot be used",
                "samples explained": int(cells.loc[is_here, "n_samples"].max()),
                "made modules": _each(usable["rewriting"]),
                "does not offer": _each(usable["withdrawn"]),
            }
        )
    return rows

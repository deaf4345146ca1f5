"""Tables → what the report derives from them: agreement over seeds, costs, facts on networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.report import AGREEMENT
from gpex_bench.statistics.outcomes import agreement_summary, cost_summary
from gpex_bench.tables.order import Record, control_ids
from gpex_bench.tables.words import PERFORMANCE, number


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


def facts(
    tables: Mapping[str, pd.DataFrame], units: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return a row on each network: how well it does over the seeds, how much was explained.

    Args:
        tables: networks and cells.
        units: of numbers, by dataset.
    """
    cells = tables["cells"]
    # Where all networks tell classes apart, the head of the column says what the number is.
    known = tables["networks"].dropna(axis="columns", how="all").columns
    is_mixed = any(f"test_{name}" in known for name in PERFORMANCE if name != "accuracy")

    rows = []
    for (dataset, model), networks in tables["networks"].groupby(["dataset", "model"]):
        usable = networks[networks["status"] == "ok"]
        texts = {name: _over_seeds(usable, name) for name in PERFORMANCE}
        unit = (units or {}).get(str(dataset), "")
        if unit and texts["mae"]:
            texts["mae"] += f" {unit}"
        listed = [f"{PERFORMANCE[name]} {text}" for name, text in texts.items() if text]
        shown = ", ".join(listed) if is_mixed else texts["accuracy"]
        is_here = (cells["dataset"] == dataset) & (cells["model"] == model)

        rows.append(
            {
                "dataset": dataset,
                "network": model,
                "weights": _each(networks["regime"]),
                "training seeds": "none" if networks["is_given"].any() else len(usable),
                "on test samples" if is_mixed else "test accuracy": shown or "cannot be used",
                "samples explained": int(cells.loc[is_here, "n_samples"].max()),
                "made modules": _each(usable["rewriting"]),
                "does not offer": _each(usable["withdrawn"]),
            }
        )
    return rows


def regimes(networks: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return how each network came by its weights, by dataset and model."""
    return {(row["dataset"], row["model"]): row["regime"] for row in networks.to_dict("records")}


def given(networks: pd.DataFrame) -> frozenset[tuple[str, str]]:
    """Return dataset and model of the networks that were brought along."""
    rows = networks[networks["is_given"].astype(bool)]
    return frozenset(zip(rows["dataset"], rows["model"], strict=True))


def _over_seeds(networks: pd.DataFrame, name: str) -> str:
    """Return a performance as text: mean (lowest to highest seed), or the only one.

    Empty where there is none.
    """
    column = networks.get(f"test_{name}", pd.Series(dtype=float)).dropna()
    if column.empty:
        return ""

    low, high = column.min(), column.max()
    if name.endswith("accuracy"):
        mean = f"{100 * column.mean():.1f} %"
        ends = f"{100 * low:.1f} to {100 * high:.1f}"
    else:
        scale = max(abs(low), abs(high))
        mean = number(column.mean(), scale)
        ends = f"{number(low, scale)} to {number(high, scale)}"
    return mean if len(column) == 1 else f"{mean} ({ends})"

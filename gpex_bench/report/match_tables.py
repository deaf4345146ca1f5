"""The tables that compare surrogates: how well each matches a network, and what its variance is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.report.matches import seconds
from gpex_bench.tables.columns import SURROGATES
from gpex_bench.tables.order import groups, records, surrogate_order
from gpex_bench.tables.words import SPLITS, below_one, number, wording

# name of a column, statistic over all heads, splits, whether its best is the largest (None: no best)
Columns = tuple[tuple[str, str, tuple[str, ...], bool | None], ...]
EVERY = tuple(SPLITS)
MATCH: Columns = (
    ("R²", "mean_r2", EVERY, True),
    ("r", "mean_pearson", ("test",), True),
    ("same arg-max", "argmax_agreement", EVERY, True),
    ("near the boundary", "boundary_argmax_agreement", ("test",), True),
    ("KL (nats)", "kl", ("test",), False),
    ("accuracy", "accuracy_surrogate", ("test",), None),
)
DOUBT: Columns = (
    ("in 90 % interval", "mean_coverage_90", EVERY, None),
    ("NLL (sd)", "mean_nll", EVERY, False),
    ("AUROC of variance", "mean_auroc", EVERY, True),
    ("rank r of sd, error", "mean_spearman", ("test",), True),
    ("rank of kernel", "mean_effective_rank", ("test",), None),
    ("centred", "mean_effective_rank_centred", ("test",), None),
)
CORRELATIONS = ("mean_r2", "mean_pearson")


def tables(agreement: pd.DataFrame, costs: pd.DataFrame) -> list[dict[str, Any]]:
    """Return for each network the table of the match and that of the doubt: surrogates below one another."""
    made = []
    for (dataset, model), here in groups(agreement, ["dataset", "model"]):
        whole = {
            (row["surrogate"], row["split"], row["statistic"]): row
            for row in records(here[here["head"] == "all"])
        }
        common = {"dataset": dataset, "model": model, "constant": constant(here)}
        network = whole.get((surrogate_order(here)[0], "test", "accuracy_network"))
        accuracy = f"{100 * network['mean']:.1f}\u00a0%" if network else ""
        made.append(common | {"kind": "match", "accuracy": accuracy, **_table(here, whole, MATCH)})
        made.append(common | {"kind": "doubt", "accuracy": accuracy, **_table(here, whole, DOUBT)})
        fitted, weak = seconds(costs, dataset, model), weakest(here)
        for row in made[-2]["rows"]:
            row["weakest"] = weak.get(row["surrogate"], {})
            row["seconds"] = number(fitted[row["surrogate"]]) if row["surrogate"] in fitted else ""
    return made


def _table(
    here: pd.DataFrame, whole: Mapping[Any, Mapping[str, Any]], columns: Columns
) -> dict[str, Any]:
    """Return heads and rows of one table; columns that nothing is known of are left out."""
    names = surrogate_order(here)
    known = {(split, statistic) for _, split, statistic in whole}
    heads: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = [{"surrogate": name, "cells": []} for name in names]
    for title, statistic, wanted, is_largest in columns:
        splits = [split for split in wanted if (split, statistic) in known]
        if not splits:
            continue
        heads.append({"title": title, "splits": splits})
        for split in splits:
            found = [whole.get((name, split, statistic)) for name in names]
            best = _best(found, is_largest)
            for row, cell in zip(rows, found, strict=True):
                row["cells"].append(
                    _cell(cell, statistic, cell is not None and cell["mean"] == best)
                )
    return {"heads": heads, "rows": rows}


def _best(found: Sequence[Mapping[str, Any] | None], is_largest: bool | None) -> float | None:
    """Return the best mean of a column, if it has one and there is something to compare."""
    means = [cell["mean"] for cell in found if cell is not None and math.isfinite(cell["mean"])]
    if is_largest is None or len(means) < 2:
        return None
    return max(means) if is_largest else min(means)


def _cell(cell: Mapping[str, Any] | None, statistic: str, is_best: bool) -> dict[str, Any]:
    """Return mean and range over seeds as text."""
    if cell is None:
        return {"mean": "", "ends": "", "value": "", "is_best": False}
    if not math.isfinite(cell["mean"]):
        return {"mean": "undefined", "ends": "", "value": "", "is_best": False}
    write = below_one if statistic in CORRELATIONS else _percent if _is_share(statistic) else number
    ends = f"{write(cell['low'])} to {write(cell['high'])}" if cell["n_seeds"] > 1 else ""
    return {
        "mean": write(cell["mean"]),
        "ends": ends,
        "value": f"{cell['mean']:.8g}",
        "is_best": is_best,
    }


def _is_share(statistic: str) -> bool:
    """Return whether a statistic is a share of items."""
    return statistic.endswith("argmax_agreement") or statistic.startswith("accuracy")


def _percent(share: float) -> str:
    """Write a share."""
    return f"{100 * share:.1f}\u00a0%"


def weakest(here: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return the head with the lowest r on test items of each surrogate, with its r and R²."""
    chosen = here[here["is_weakest"].astype(bool) & (here["split"] == "test")]
    r2 = here[(here["statistic"] == "r2") & (here["split"] == "test")].set_index(
        ["surrogate", "head"]
    )["mean"]
    return {
        row["surrogate"]: {
            "head": str(row["head"]),
            "r": below_one(row["mean"]),
            "r2": below_one(r2.get((row["surrogate"], row["head"]), math.nan)),
        }
        for row in records(chosen)
    }


def constant(here: pd.DataFrame) -> str:
    """Name the heads without a Pearson r, by split."""
    without = here[(here["head"] != "all") & (here["statistic"] == "pearson") & here["mean"].isna()]
    parts = [
        f"{split}: {', '.join(sorted(set(part['head'])))}"
        for (split,), part in groups(without, ["split"])
    ]
    return "; ".join(parts)


def failed(fits: pd.DataFrame) -> list[dict[str, str]]:
    """List the fits that failed, with the reason."""
    bad = fits[fits["status"] != "ok"].sort_values(["dataset", "model", "surrogate", "seed"])
    return [
        {
            **{key: str(row[key]) for key in SURROGATES[:4]},
            "text": wording(row["status"], row["reason"]),
        }
        for row in records(bad)
    ]

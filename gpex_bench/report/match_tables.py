"""The tables that compare surrogates: how well each matches a network, and its variance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gpex_bench.report.templates import percent
from gpex_bench.tables.order import groups, records, surrogate_order
from gpex_bench.tables.words import PERFORMANCE, SPLITS, below_one, number, reached, wording
from gpex_bench.types import value


@value
class Column:
    """One statistic over all heads; a column of a table for each split."""

    title: str
    statistic: str
    splits: tuple[str, ...] = ("test",)
    # whether the best surrogate has the largest value; None if none is best
    is_largest: bool | None = None


EVERY = tuple(SPLITS)
MATCH = (
    Column(title="R²", statistic="mean_r2", splits=EVERY, is_largest=True),
    Column(title="r", statistic="mean_pearson", is_largest=True),
    Column(title="same arg-max", statistic="argmax_agreement", splits=EVERY, is_largest=True),
    Column(title="same labels", statistic="label_agreement", splits=EVERY, is_largest=True),
    Column(title="near the boundary", statistic="boundary_argmax_agreement", is_largest=True),
    Column(title="KL (nats)", statistic="kl", is_largest=False),
    *(
        Column(title=word if name != "r2" else "R² of the target", statistic=f"{name}_surrogate")
        for name, word in PERFORMANCE.items()
    ),
)
DOUBT = (
    Column(title="in 90 % interval", statistic="mean_calibrated_coverage_90", splits=EVERY),
    Column(title="not calibrated", statistic="mean_coverage_90", splits=EVERY),
    Column(title="NLL (sd)", statistic="mean_calibrated_nll", splits=EVERY, is_largest=False),
    Column(title="AUROC of variance", statistic="mean_auroc", splits=EVERY, is_largest=True),
    Column(title="rank r of sd, error", statistic="mean_spearman", is_largest=True),
    Column(title="rank of kernel", statistic="mean_effective_rank"),
    Column(title="centred", statistic="mean_effective_rank_centred"),
)
# of a variance: what has none, or one that is of no error, does not have them
OF_VARIANCE = tuple(column.statistic for column in DOUBT[:5])
CORRELATIONS = ("mean_r2", "mean_pearson", "r2_surrogate", "macro_f1_surrogate")
SHARES = (
    "argmax_agreement",
    "boundary_argmax_agreement",
    "label_agreement",
    "accuracy_surrogate",
    "label_accuracy_surrogate",
)

# Surrogate, split and statistic → the row over all heads.
Rows = Mapping[tuple[str, str, str], Mapping[str, Any]]


def tables(agreement: pd.DataFrame, costs: pd.DataFrame) -> list[dict[str, Any]]:
    """Return two tables for each network, with one row a surrogate: match and doubt.

    Args:
        agreement: the frame of `statistics.outcomes.agreement_summary`.
        costs: seconds of each fit; may be empty.
    """
    result = []
    for (dataset, model), here in groups(agreement, ["dataset", "model"]):
        over_heads: Rows = {
            (row["surrogate"], row["split"], row["statistic"]): row
            for row in records(here[here["head"] == "all"])
        }
        names = surrogate_order(here)
        network = {
            name: row["mean"]
            for name in PERFORMANCE
            if (row := over_heads.get((names[0], "test", f"{name}_network")))
        }
        common = {
            "dataset": dataset,
            "model": model,
            "constant": constant(here),
            "reached": reached(network),
        }
        match = {**common, "kind": "match", **_table(names, over_heads, MATCH)}
        doubt = {**common, "kind": "doubt", **_table(names, over_heads, DOUBT)}
        _add_heads_and_seconds(match["rows"], here, seconds(costs, dataset, model))
        result += [match, doubt]
    return result


def _add_heads_and_seconds(
    rows: Sequence[dict[str, Any]], here: pd.DataFrame, fitted: Mapping[str, float]
) -> None:
    """Add to each surrogate its weakest head and the seconds of its fit."""
    heads = weakest(here)
    for row in rows:
        name = row["surrogate"]
        row["weakest"] = heads.get(name, {})
        row["seconds"] = ""
        if name in fitted:
            row["seconds"] = number(fitted[name])


def _table(names: Sequence[str], over_heads: Rows, columns: Sequence[Column]) -> dict[str, Any]:
    """Return heads and rows of one table; columns that nothing is known of are left out."""
    known = {(split, statistic) for _, split, statistic in over_heads}
    heads: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = [{"surrogate": name, "cells": []} for name in names]

    for column in columns:
        splits = [split for split in column.splits if (split, column.statistic) in known]
        if splits:
            heads.append({"title": column.title, "splits": splits})

        for split in splits:
            found = [over_heads.get((name, split, column.statistic)) for name in names]
            best = _best(found, column.is_largest)
            for row, cell in zip(rows, found, strict=True):
                row["cells"].append(_cell(cell, column.statistic, best))

    return {"heads": heads, "rows": rows}


def _best(found: Sequence[Mapping[str, Any] | None], is_largest: bool | None) -> float | None:
    """Return the best mean of a column; None if it has no best, or nothing to compare."""
    means = [cell["mean"] for cell in found if cell is not None and math.isfinite(cell["mean"])]
    if is_largest is None or len(means) < 2:
        return None
    return max(means) if is_largest else min(means)


def _cell(cell: Mapping[str, Any] | None, statistic: str, best: float | None) -> dict[str, Any]:
    """Return mean and range over seeds as text."""
    if cell is None:
        return {"mean": "", "ends": "", "value": "", "is_best": False}
    if not math.isfinite(cell["mean"]):
        word = "n/a" if statistic in OF_VARIANCE else "undefined"
        return {"mean": word, "ends": "", "value": "", "is_best": False}

    low = _text(cell["low"], statistic)
    high = _text(cell["high"], statistic)
    return {
        "mean": _text(cell["mean"], statistic),
        "ends": f"{low} to {high}" if cell["n_seeds"] > 1 else "",
        "value": f"{cell['mean']:.8g}",
        "is_best": cell["mean"] == best,
    }


def _text(mean: float, statistic: str) -> str:
    """Write a value of a statistic."""
    if statistic in CORRELATIONS:
        return below_one(mean)
    if statistic in SHARES:
        return percent(mean)
    return number(mean)


def seconds(costs: pd.DataFrame, dataset: str, model: str) -> dict[str, float]:
    """Return the seconds of a fit of each surrogate of one network, mean over training seeds."""
    here = costs[costs["dataset"].eq(dataset) & costs["model"].eq(model)]
    means = here.groupby("surrogate")["wall_seconds"].mean()
    return {str(name): float(mean) for name, mean in means.items()}


def weakest(here: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return the head with the lowest r on test items of each surrogate, with its r and R²."""
    on_test = here[here["split"] == "test"]
    chosen = on_test[on_test["is_weakest"].astype(bool)]
    is_r2 = on_test["statistic"] == "r2"
    r2 = on_test[is_r2].set_index(["surrogate", "head"])["mean"]

    return {
        row["surrogate"]: {
            "head": str(row["head"]),
            "r": below_one(row["mean"]),
            "r2": below_one(r2.get((row["surrogate"], row["head"]), math.nan)),
        }
        for row in records(chosen)
    }


def constant(here: pd.DataFrame) -> dict[str, list[str]]:
    """Return the heads without a Pearson r, by split."""
    is_r_of_head = here["statistic"].eq("pearson") & here["head"].ne("all")
    without = here[is_r_of_head & here["mean"].isna()]
    return {split: sorted(set(part["head"])) for (split,), part in groups(without, ["split"])}


def failed(fits: pd.DataFrame) -> list[dict[str, str]]:
    """List the fits that failed, with the reason."""
    key = ["dataset", "model", "surrogate", "seed"]
    is_failed = fits["status"] != "ok"
    bad = fits[is_failed].sort_values(key)
    return [
        {name: str(row[name]) for name in key} | {"text": wording(row["status"], row["reason"])}
        for row in records(bad)
    ]

"""Status of each fit, cell and metric, as rows of tables: ok, failed, not applicable."""

from __future__ import annotations

from typing import Any

from gpex_bench.config.schema import Network
from gpex_bench.run import artefacts
from gpex_bench.run.job import Job
from gpex_bench.tables.columns import NETWORK
from gpex_bench.tables.words import FINE

MEASURED = ("wall_seconds", "peak_bytes")
# shares of the sums that a method promises; allowed: what it claims to miss at most
MISSING = ("worst_missing", "median_missing", "allowed_missing")
PLACE_OF_SKIPPED = (*NETWORK, "method", "metric")
COUNTED = ("status", "reason", "n_samples", "forward_rows", "backward_rows", "surrogate_rows")


def fit_rows(this: Job) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the status of every fit, and its cost."""
    fates, costs = [], []
    for path in this.paths("surrogates"):
        key = artefacts.read_key(path)
        record = artefacts.read_sidecar(path)
        fates.append(key | {name: record[name] for name in ("status", "reason")})
        costs.append(key | {name: record["cost"][name] for name in MEASURED})
    return fates, costs


def cell_rows(this: Job) -> dict[str, list[dict[str, Any]]]:
    """Return a record of every cell, also of those that do not apply, and what each cost."""
    cells, costs = [], []
    for path in this.paths("explanations"):
        key = artefacts.read_key(path)
        note = artefacts.read_explanation(path).note
        cost = artefacts.read_sidecar(path)["cost"]
        missing = {name: _number(note.get(name)) for name in MISSING}
        cells.append(key | {name: note[name] for name in COUNTED} | missing)
        costs.append(key | {name: cost[name] for name in MEASURED})

    config = this.config
    for network in config.networks:
        for method in config.entries["method"]:
            reason = config.not_applicable(network, method)
            if reason is None:
                continue
            blank: dict[str, Any] = dict.fromkeys(COUNTED, 0)
            blank |= dict.fromkeys(MISSING, float("nan"))
            blank |= {"status": "not_applicable", "reason": reason}
            for seed in config.seeds_of(network.model):
                cells.append(_place(network, method) | {"seed": seed} | blank)
    return {"cells": cells, "costs": costs}


def _number(share: float | None) -> float:
    return float("nan") if share is None else share


def _place(network: Network, method: str) -> dict[str, Any]:
    return {"dataset": network.dataset, "model": network.model, "method": method}


def skipped_rows(this: Job) -> list[dict[str, Any]]:
    """Return why a method has no score of a metric: it does not apply, or it failed."""
    config = this.config
    skipped: list[dict[str, Any]] = []
    for network in config.networks:
        for method in config.entries["method"]:
            of_all_metrics = config.not_applicable(network, method)
            for metric in config.entries["metric"]:
                reason = of_all_metrics or config.skipped(network, method, metric)
                if reason is not None:
                    record = {"metric": metric, "status": "not_applicable", "reason": reason}
                    skipped.append(_place(network, method) | record)

    # A metric without scores on several seeds is named once, with the first of them.
    named = {tuple(row[name] for name in PLACE_OF_SKIPPED) for row in skipped}
    for path in this.paths("scores"):
        key = artefacts.read_key(path)
        seed = key.pop("seed")
        for metric, fate in artefacts.read_sidecar(path)["unscored"].items():
            row = key | {"metric": metric, "status": fate["status"]}
            row |= {"reason": f"seed {seed}: {fate['reason']}"}
            place = tuple(row[name] for name in PLACE_OF_SKIPPED)
            if place not in named:
                named.add(place)
                skipped.append(row)
    return skipped


def words(row: dict[Any, Any]) -> str:
    """Return the key of a row as text, e.g. "shapes cnn 1 lrp"."""
    keys = ("dataset", "model", "seed", "surrogate", "method", "metric")
    return " ".join(str(row[key]) for key in keys if key in row)


def failures(rows: list[dict[Any, Any]]) -> list[str]:
    """Return a line on each fit, cell or metric that failed."""
    return [f"{words(row)}: {row['reason']}" for row in rows if row["status"] not in FINE]

"""The job that joins all cells into tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from gpex_bench.config import Config
from gpex_bench.config.schema import Network
from gpex_bench.plugins.cards import (
    method_cards,
    metric_card,
    surrogate_card,
    unusable_method_card,
)
from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job, log

if TYPE_CHECKING:
    from gpex_bench.stages.curves import Recorded

MEASURED = ("wall_seconds", "peak_bytes")
COUNTED = ("status", "reason", "n_samples", "forward_rows", "backward_rows", "surrogate_rows")
FINE = ("ok", "not_applicable")

# The tables that are written, by name; besides those of the statistics.
PARTS = ("scores", "agreement", "predictions")  # joined from tables of single cells
OTHERS = ("curves", "variant_scores", "cells", "skipped", "outcomes", "networks", "surrogates")


@job
def aggregate(this: Job) -> None:
    """Cells → tables."""
    from gpex_bench.stages.aggregate import aggregate, texts

    config = this.config
    parts = {name: [artefacts.read_table(path) for path in this.paths(name)] for name in PARTS}
    metrics = {name: config.metric(name) for name in config.entries["metric"]}
    cards = _cards(config)
    fates, fit_costs = fits(this)
    records = {
        **_cells(this),
        "skipped": _skipped(this),
        "networks": _networks(this),
        "surrogates": fates,
        "surrogate_costs": fit_costs,
    }
    tables = aggregate(parts, _recorded(this), records, metrics, cards["methods"])

    folder = this.path("costs").parent
    written = {name: getattr(tables, name) for name in (*PARTS, *OTHERS)} | dict(tables.conclusions)
    for name, table in written.items():
        path = folder / f"{name}.parquet"
        artefacts.write_table(path, table)
        this.describe(path, kind=name)

    for name, text in texts(tables, cards["methods"], cards["metrics"], config.headline).items():
        artefacts.write_bytes(folder / name, text.encode())
    artefacts.write_json(this.path("cards"), cards)
    artefacts.write_json(this.path("costs"), tables.costs.to_dict("records"))
    artefacts.write_json(this.path("surrogate_costs"), tables.surrogate_costs.to_dict("records"))
    _report_failures(tables.cells, tables.skipped, tables.surrogates)


def _cards(config: Config) -> dict[str, list[dict[str, Any]]]:
    """Return what is known about the methods, metrics and surrogates of the run."""
    explainers = {name: config.method(name) for name in config.entries["method"]}
    usable = {name: method for name, method in explainers.items() if method is not None}
    known = {one["method"]: one for one in method_cards(usable)}

    methods = []
    for name in explainers:
        reason = config.entry("method", name).reason
        methods.append(known.get(name) or unusable_method_card(name, reason))
    return {
        "methods": methods,
        "metrics": [metric_card(name, config.metric(name)) for name in config.entries["metric"]],
        "surrogates": [
            surrogate_card(name, config.surrogate(name)) for name in config.entries["surrogate"]
        ],
    }


def _recorded(this: Job) -> Iterator[Recorded]:
    """Yield the removal curves of every cell."""
    from gpex_bench.stages.curves import Recorded

    for path in this.paths("curves"):
        curves, sample = artefacts.read_curves(path)
        yield Recorded(artefacts.read_key(path), curves, sample)


def _networks(this: Job) -> list[dict[str, Any]]:
    """Return the accuracies of every network."""
    records = []
    for path in this.paths("models"):
        _, accuracies = artefacts.read_tensors(path)
        records.append({**artefacts.read_key(path), **accuracies})
    return records


def fits(this: Job) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what became of every fit, and what it cost."""
    fates, costs = [], []
    for path in this.paths("surrogates"):
        key = artefacts.read_key(path)
        record = artefacts.read_sidecar(path)
        fates.append(key | {name: record[name] for name in ("status", "reason")})
        costs.append(key | {name: record["cost"][name] for name in MEASURED})
    return fates, costs


def _cells(this: Job) -> dict[str, list[dict[str, Any]]]:
    """Return a record of every cell, also of those that do not apply, and what each cost."""
    cells, costs = [], []
    for path in this.paths("explanations"):
        key = artefacts.read_key(path)
        note = artefacts.read_explanation(path).note
        cost = artefacts.read_sidecar(path)["cost"]
        cells.append(key | {name: note[name] for name in COUNTED})
        costs.append(key | {name: cost[name] for name in MEASURED})

    config = this.config
    for network in config.networks:
        for method in config.entries["method"]:
            reason = config.not_applicable(network, method)
            if reason is None:
                continue
            blank = dict.fromkeys(COUNTED, 0) | {"status": "not_applicable", "reason": reason}
            for seed in config.seeds:
                cells.append(_place(network, method) | {"seed": seed} | blank)
    return {"cells": cells, "costs": costs}


def _place(network: Network, method: str) -> dict[str, Any]:
    return {"dataset": network.dataset, "model": network.model, "method": method}


def _skipped(this: Job) -> list[dict[str, Any]]:
    """Return why a method has no score of a metric: it does not apply, or it failed."""
    config = this.config
    skipped = []
    for network in config.networks:
        for method in config.entries["method"]:
            of_all_metrics = config.not_applicable(network, method)
            for metric in config.entries["metric"]:
                reason = of_all_metrics or config.skipped(network, method, metric)
                if reason is not None:
                    record = {"metric": metric, "status": "not_applicable", "reason": reason}
                    skipped.append(_place(network, method) | record)

    # A metric that failed on several seeds is named once, with the first of them.
    named: set[tuple[Any, ...]] = set()
    for path in this.paths("scores"):
        key = artefacts.read_key(path)
        seed = key.pop("seed")
        for metric, reason in artefacts.read_sidecar(path)["failed_metrics"].items():
            place = (*key.values(), metric)
            if place not in named:
                named.add(place)
                failure = {"status": "failed", "reason": f"seed {seed}: {reason}"}
                skipped.append(key | {"metric": metric} | failure)
    return skipped


def _report_failures(cells: pd.DataFrame, skipped: pd.DataFrame, fits: pd.DataFrame) -> None:
    """Log every fit, cell and metric that failed."""
    for row in fits[fits["status"] != "ok"].to_dict("records"):
        log.info("  %s: the fit %s: %s", _words(row), row["status"], row["reason"])

    is_ok = cells["status"] == "ok"
    failed = cells[~cells["status"].isin(FINE)]
    log.info("%s of %s cells are ok, %s failed.", is_ok.sum(), len(cells), len(failed))
    for row in failed.to_dict("records"):
        log.info("  %s: %s: %s", _words(row), row["status"], row["reason"])

    for row in skipped[skipped["status"] == "failed"].to_dict("records"):
        log.info("  %s: failed: %s", _words(row), row["reason"])
    n_skipped = (skipped["status"] == "not_applicable").sum()
    log.info("%s pairs of method and metric do not apply.", n_skipped)


def _words(row: dict[Any, Any]) -> str:
    """Return the key of a row as text, e.g. "shapes cnn 1 lrp"."""
    keys = ("dataset", "model", "seed", "surrogate", "method", "metric")
    return " ".join(str(row[key]) for key in keys if key in row)


def failures(rows: list[dict[Any, Any]]) -> list[str]:
    """Return a line on each fit, cell or metric that failed."""
    return [f"{_words(row)}: {row['reason']}" for row in rows if row["status"] not in FINE]

"""The jobs that join all cells: tables, figures and the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from gpex_bench import io
from gpex_bench.config import Config, Network
from gpex_bench.jobs import Job, job, log

MEASURED = ("wall_seconds", "peak_bytes")
COUNTED = ("status", "reason", "n_samples", "forward_rows", "backward_rows", "surrogate_rows")


@job
def aggregate(this: Job) -> None:
    """Cells → tables."""
    from gpex_bench.stages.aggregate import aggregate, method_record, metric_record

    names = ("scores", "curves", "agreement", "predictions")
    parts = {name: [io.read_table(path) for path in this.paths(name)] for name in names}
    config = this.config
    metrics = {name: config.metric(name) for name in config.entries["metric"]}
    explainers = {name: config.method(name) for name in config.entries["method"]}
    controls = [name for name, method in explainers.items() if method is not None and type(method).kind == "control"]
    records = _cells(this) | {"skipped": _skipped(this)}
    tables = aggregate(parts, records, metrics, controls)
    folder = this.path("costs").parent
    for name in (*names, "cells", "skipped", "outcomes"):
        path = folder / f"{name}.parquet"
        io.write_table(path, getattr(tables, name))
        this.describe(path, kind=name)
    cards = {
        "methods": [
            _broken(config, name) if method is None else method_record(name, method)
            for name, method in explainers.items()
        ],
        "metrics": [metric_record(name, metric) for name, metric in metrics.items()],
    }
    io.write_bytes(this.path("cards"), (json.dumps(cards, indent=1) + "\n").encode())
    io.write_bytes(this.path("costs"), (tables.costs.to_json(orient="records", indent=1) + "\n").encode())
    _report_failures(tables.cells, tables.skipped)


def _broken(config: Config, name: str) -> dict[str, Any]:
    """Return the card of a method whose plug-in cannot be used."""
    plugin = config.entry("method", name).plugin
    empty = {"class": "", "kind": "", "reference": "", "needs": [], "explains": "", "hyperparameters": {}}
    return {"method": name, "description": f"{plugin.path.name} {plugin.reason}", **empty}


def _cells(this: Job) -> dict[str, list[dict[str, Any]]]:
    """Return a record of every cell and what it cost, in the order of the input files; then those that do not apply."""
    cells, costs = [], []
    for path in this.paths("explanations"):
        key = _key(path)
        _, note = io.read_explanation(path)
        cost = io.read_sidecar(path)["cost"]
        cells.append(key | {name: note[name] for name in COUNTED})
        costs.append(key | {name: cost[name] for name in MEASURED})
    for network in this.config.networks:
        for method in this.config.entries["method"]:
            reason = this.config.not_applicable(network, method)
            if reason is None:
                continue
            blank = dict.fromkeys(COUNTED, 0) | {"status": "not_applicable", "reason": reason}
            cells += [_place(network, method) | {"seed": seed} | blank for seed in this.config.seeds]
    return {"cells": cells, "costs": costs}


def _key(path: Path) -> dict[str, Any]:
    """Return the key of an explanation from its path: .../dataset/model/seed-1/explanations/method.safetensors."""
    dataset, model, seed = path.parts[-5:-2]
    return {"dataset": dataset, "model": model, "seed": int(seed.removeprefix("seed-")), "method": path.stem}


def _place(network: Network, method: str) -> dict[str, Any]:
    return {"dataset": network.dataset, "model": network.model, "method": method}


def _skipped(this: Job) -> list[dict[str, Any]]:
    """Return why a method has no score of a metric: decided before the run, or failed in the score job."""
    found = []
    for network in this.config.networks:
        for method in this.config.entries["method"]:
            reason = this.config.not_applicable(network, method)
            for metric in this.config.entries["metric"]:
                why = reason or this.config.skipped(network, method, metric)
                if why is not None:
                    found.append(_place(network, method) | {"metric": metric, "reason": why})
    known = {tuple(entry.values()) for entry in found}
    for path in this.paths("scores"):
        key = {name: entry for name, entry in _key(path).items() if name != "seed"}
        for metric, reason in io.read_sidecar(path)["failed_metrics"].items():
            entry = key | {"metric": metric, "reason": reason}
            if tuple(entry.values()) not in known:
                known.add(tuple(entry.values()))
                found.append(entry)
    return found


def _report_failures(cells: pd.DataFrame, skipped: pd.DataFrame) -> None:
    failed = cells[~cells["status"].isin(["ok", "not_applicable"])]
    log.info("%s of %s cells are ok, %s failed.", (cells["status"] == "ok").sum(), len(cells), len(failed))
    for row in failed.itertuples():
        log.info("  %s %s seed %s %s: %s: %s", row.dataset, row.model, row.seed, row.method, row.status, row.reason)
    log.info("%s pairs of method and metric do not apply.", len(skipped))

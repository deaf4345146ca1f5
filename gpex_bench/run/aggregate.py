"""The job that joins all cells into tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from gpex_bench.config import Config
from gpex_bench.config.schema import Network
from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job, log
from gpex_bench.types import Role

if TYPE_CHECKING:
    from gpex_bench.stages.curves import Recorded

MEASURED = ("wall_seconds", "peak_bytes")
COUNTED = ("status", "reason", "n_samples", "forward_rows", "backward_rows", "surrogate_rows")


FINE = ("ok", "not_applicable")
PARTS = ("scores", "agreement", "predictions")
OF_CURVES = ("curves", "variant_scores")
WHOLE = ("cells", "skipped", "outcomes", "networks", "surrogates")


@job
def aggregate(this: Job) -> None:
    """Cells → tables."""
    from gpex_bench.stages.aggregate import (
        aggregate,
        method_records,
        metric_record,
        surrogate_record,
        texts,
    )

    parts = {name: [artefacts.read_table(path) for path in this.paths(name)] for name in PARTS}
    config = this.config
    metrics = {name: config.metric(name) for name in config.entries["metric"]}
    explainers = {name: config.method(name) for name in config.entries["method"]}
    usable = {name: method for name, method in explainers.items() if method is not None}
    known = {card["method"]: card for card in method_records(usable)}
    cards = {
        "methods": [known.get(name) or _broken(config, name) for name in explainers],
        "metrics": [metric_record(name, metric) for name, metric in metrics.items()],
        "surrogates": [
            surrogate_record(name, config.surrogate(name)) for name in config.entries["surrogate"]
        ],
    }
    fates, fit_costs = fits(this)
    records = _cells(this) | {"surrogates": fates, "surrogate_costs": fit_costs}
    records |= {"skipped": _skipped(this), "networks": _networks(this)}
    tables = aggregate(parts, _recorded(this), records, metrics, cards["methods"])
    folder = this.path("costs").parent
    whole = {name: getattr(tables, name) for name in (*PARTS, *OF_CURVES, *WHOLE)}
    for name, table in (whole | dict(tables.conclusions)).items():
        path = folder / f"{name}.parquet"
        artefacts.write_table(path, table)
        this.describe(path, kind=name)
    for name, text in texts(tables, cards["methods"], cards["metrics"], config.headline).items():
        artefacts.write_bytes(folder / name, text.encode())
    artefacts.write_json(this.path("cards"), cards)
    artefacts.write_json(this.path("costs"), tables.costs.to_dict("records"))
    artefacts.write_json(this.path("surrogate_costs"), tables.surrogate_costs.to_dict("records"))
    _report_failures(tables.cells, tables.skipped, tables.surrogates)


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


def _broken(config: Config, name: str) -> dict[str, Any]:
    """Return the card of a method whose plug-in cannot be used."""
    empty: dict[str, Any] = {
        "class": "",
        "kind": "",
        "reference": "",
        "role": Role.METHOD.value,
        "of": "",
        "is_blind": False,
        "needs": [],
        "surrogate": None,
        "explains": "",
        "hyperparameters": {},
    }
    return {"method": name, "description": config.entry("method", name).reason, **empty}


def _cells(this: Job) -> dict[str, list[dict[str, Any]]]:
    """Return a record of every cell and what it cost, in the order of the input files; then those that do not apply."""
    cells, costs = [], []
    for path in this.paths("explanations"):
        key = artefacts.read_key(path)
        note = artefacts.read_explanation(path).note
        cost = artefacts.read_sidecar(path)["cost"]
        cells.append(key | {name: note[name] for name in COUNTED})
        costs.append(key | {name: cost[name] for name in MEASURED})
    for network in this.config.networks:
        for method in this.config.entries["method"]:
            reason = this.config.not_applicable(network, method)
            if reason is None:
                continue
            blank = dict.fromkeys(COUNTED, 0) | {"status": "not_applicable", "reason": reason}
            cells += [
                _place(network, method) | {"seed": seed} | blank for seed in this.config.seeds
            ]
    return {"cells": cells, "costs": costs}


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
                    found.append(
                        _place(network, method)
                        | {"metric": metric, "status": "not_applicable", "reason": why}
                    )
    known: set[tuple[Any, ...]] = set()
    for path in this.paths("scores"):
        key = artefacts.read_key(path)
        seed = key.pop("seed")
        for metric, reason in artefacts.read_sidecar(path)["failed_metrics"].items():
            if (*key.values(), metric) not in known:
                known.add((*key.values(), metric))
                found.append(
                    key | {"metric": metric, "status": "failed", "reason": f"seed {seed}: {reason}"}
                )
    return found


def _report_failures(cells: pd.DataFrame, skipped: pd.DataFrame, fits: pd.DataFrame) -> None:
    for row in fits[fits["status"] != "ok"].itertuples():
        log.info("  %s %s seed %s: the fit of %s %s: %s", *row[1:5], row.status, row.reason)
    failed = cells[~cells["status"].isin(FINE)]
    log.info(
        "%s of %s cells are ok, %s failed.",
        (cells["status"] == "ok").sum(),
        len(cells),
        len(failed),
    )
    for row in failed.itertuples():
        log.info(
            "  %s %s seed %s %s: %s: %s",
            row.dataset,
            row.model,
            row.seed,
            row.method,
            row.status,
            row.reason,
        )
    for row in skipped[skipped["status"] == "failed"].itertuples():
        log.info(
            "  %s %s %s, metric %s: failed: %s",
            row.dataset,
            row.model,
            row.method,
            row.metric,
            row.reason,
        )
    log.info(
        "%s pairs of method and metric do not apply.", (skipped["status"] == "not_applicable").sum()
    )

"""The job that joins all cells into tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gpex_bench.config import Config
from gpex_bench.plugins.cards import (
    method_cards,
    metric_card,
    surrogate_card,
    unusable_method_card,
)
from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job, log
from gpex_bench.run.status_rows import cell_rows, fit_rows, skipped_rows, words
from gpex_bench.tables.words import FINE, wording
from gpex_bench.types import Need

if TYPE_CHECKING:
    from gpex_bench.stages.aggregate import Tables
    from gpex_bench.stages.curves import Recorded

# The tables that are written, by name; besides those of the statistics.
PARTS = ("scores", "agreement", "predictions")  # joined from tables of single cells
OTHERS = (
    "curves",
    "variant_scores",
    "fills",
    "cells",
    "skipped",
    "outcomes",
    "networks",
    "surrogates",
)


@job
def aggregate(this: Job) -> None:
    """Cells → tables."""
    from gpex_bench.stages.aggregate import aggregate, texts

    config = this.config
    parts = {name: [artefacts.read_table(path) for path in this.paths(name)] for name in PARTS}
    metrics = {name: config.metric(name) for name in config.entries["metric"]}
    cards = _cards(config)
    fates, fit_costs = fit_rows(this)
    records = {
        **cell_rows(this),
        "skipped": skipped_rows(this),
        "networks": _networks(this),
        "surrogates": fates,
        "surrogate_costs": fit_costs,
    }
    tables = aggregate(
        parts, _recorded(this), records, metrics, cards["methods"], headline=config.headline
    )

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
    _report_failures(tables)


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
        curves, sample, fills = artefacts.read_curves(path)
        yield Recorded(artefacts.read_key(path), curves, sample, fills)


def _networks(this: Job) -> list[dict[str, Any]]:
    """Return of every network its accuracies, kind and status, and why it lacks what it lacks."""
    records = []
    for path in this.paths("models"):
        _, note = artefacts.read_tensors(path)
        status = {"status": note.pop("status", "ok"), "reason": note.pop("reason", "")}
        reasons = [f"{need}: {reason}" for need, reason in note.pop("withdrawn", {}).items()]
        key = artefacts.read_key(path)
        architecture = this.config.model(key["model"])
        is_image = Need.IMAGE in this.config.dataset(key["dataset"]).offers
        origin = {"regime": architecture.regime, "is_given": architecture.is_given}
        origin |= {"data": "images" if is_image else "tables"}
        row = {**key, **origin, **note, **status, "withdrawn": "; ".join(reasons)}
        records.append(row)
    return records


def _report_failures(tables: Tables) -> None:
    """Log every network, fit, cell and metric that failed."""
    cells, skipped, fits = tables.cells, tables.skipped, tables.surrogates
    for row in tables.networks[tables.networks["status"] != "ok"].to_dict("records"):
        log.info("  %s: the network %s", words(row), wording(row["status"], row["reason"]))
    for row in fits[fits["status"] != "ok"].to_dict("records"):
        log.info("  %s: the fit %s", words(row), wording(row["status"], row["reason"]))

    is_ok = cells["status"] == "ok"
    failed = cells[~cells["status"].isin(FINE)]
    log.info("%s of %s cells are ok, %s failed.", is_ok.sum(), len(cells), len(failed))
    for row in failed.to_dict("records"):
        log.info("  %s: %s", words(row), wording(row["status"], row["reason"]))

    for row in skipped[~skipped["status"].isin(FINE)].to_dict("records"):
        log.info("  %s: %s", words(row), wording(row["status"], row["reason"]))
    n_skipped = (skipped["status"] == "not_applicable").sum()
    log.info("%s pairs of method and metric do not apply.", n_skipped)

"""The jobs that join all cells: tables, figures and the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from gpex_bench import frames, io, provenance
from gpex_bench.config import Config, Network
from gpex_bench.jobs import Job, job, load_model, log

MEASURED = ("wall_seconds", "peak_bytes")
COUNTED = ("status", "reason", "n_samples", "forward_rows", "backward_rows", "surrogate_rows")


FINE = ("ok", "not_applicable")
PARTS = ("scores", "curves", "agreement", "predictions")
WHOLE = ("cells", "skipped", "outcomes", "networks")


@job
def aggregate(this: Job) -> None:
    """Cells → tables."""
    from gpex_bench.stages.aggregate import aggregate, method_record, metric_record, texts

    parts = {name: [io.read_table(path) for path in this.paths(name)] for name in PARTS}
    config = this.config
    metrics = {name: config.metric(name) for name in config.entries["metric"]}
    explainers = {name: config.method(name) for name in config.entries["method"]}
    cards = {
        "methods": [
            _broken(config, name) if method is None else method_record(name, method)
            for name, method in explainers.items()
        ],
        "metrics": [metric_record(name, metric) for name, metric in metrics.items()],
    }
    controls = sorted(frames.controls(cards["methods"]))
    records = _cells(this) | {"skipped": _skipped(this), "networks": _networks(this)}
    tables = aggregate(parts, records, metrics, controls)
    folder = this.path("costs").parent
    for name in (*PARTS, *WHOLE):
        path = folder / f"{name}.parquet"
        io.write_table(path, getattr(tables, name))
        this.describe(path, kind=name)
    for name, text in texts(tables, cards["methods"], cards["metrics"], config.headline).items():
        io.write_bytes(folder / name, text.encode())
    io.write_json(this.path("cards"), cards)
    io.write_json(this.path("costs"), tables.costs.to_dict("records"))
    _report_failures(tables.cells, tables.skipped)


def _networks(this: Job) -> list[dict[str, Any]]:
    """Return the accuracies of every network."""
    found = []
    for path in this.paths("models"):
        _, accuracies = io.read_tensors(path)
        dataset, model, seed = path.parts[-4:-1]
        found.append({"dataset": dataset, "model": model, "seed": int(seed.removeprefix("seed-"))} | accuracies)
    return found


def _broken(config: Config, name: str) -> dict[str, Any]:
    """Return the card of a method whose plug-in cannot be used."""
    empty = {"class": "", "kind": "", "reference": "", "needs": [], "explains": "", "hyperparameters": {}}
    return {"method": name, "description": config.entry("method", name).reason, **empty}


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
                    found.append(
                        _place(network, method) | {"metric": metric, "status": "not_applicable", "reason": why}
                    )
    known: set[tuple[Any, ...]] = set()
    for path in this.paths("scores"):
        key = _key(path)
        seed = key.pop("seed")
        for metric, reason in io.read_sidecar(path)["failed_metrics"].items():
            if (*key.values(), metric) not in known:
                known.add((*key.values(), metric))
                found.append(key | {"metric": metric, "status": "failed", "reason": f"seed {seed}: {reason}"})
    return found


def _report_failures(cells: pd.DataFrame, skipped: pd.DataFrame) -> None:
    failed = cells[~cells["status"].isin(FINE)]
    log.info("%s of %s cells are ok, %s failed.", (cells["status"] == "ok").sum(), len(cells), len(failed))
    for row in failed.itertuples():
        log.info("  %s %s seed %s %s: %s: %s", row.dataset, row.model, row.seed, row.method, row.status, row.reason)
    for row in skipped[skipped["status"] == "failed"].itertuples():
        log.info("  %s %s %s, metric %s: failed: %s", row.dataset, row.model, row.method, row.metric, row.reason)
    log.info("%s pairs of method and metric do not apply.", (skipped["status"] == "not_applicable").sum())


class Run:
    """The tables and cards of a run, read back."""

    def __init__(self, this: Job) -> None:
        folder = this.path("cards").parent
        self.tables = {name: io.read_table(folder / f"{name}.parquet") for name in (*PARTS, *WHOLE)}
        cards = io.read_json(this.path("cards"))
        self.methods, self.metrics = cards["methods"], cards["metrics"]


@job
def draw(this: Job) -> None:
    """Tables, explanations of the first seed → figures, with the numbers they show."""
    from gpex_bench import plots
    from gpex_bench.stages.draw import draw_explanations, draw_tables
    from gpex_bench.tables import csv

    run, headline, folder = Run(this), this.config.headline, this.path("figures")
    scores, seed = run.tables["scores"], this.config.seeds[0]
    figures = [draw_tables(run.tables, run.methods, run.metrics, headline)]
    for network in this.config.networks:
        here = (scores["dataset"] == network.dataset) & (scores["model"] == network.model) & (scores["seed"] == seed)
        figures.append(draw_explanations(_shown(this, network, seed), scores[here], run.methods, headline))
    index = []
    for stem, section, dataset, drawing in chain.from_iterable(figures):
        io.write_bytes(folder / f"{stem}.svg", plots.to_svg(drawing, stem).encode())
        io.write_bytes(folder / f"{stem}.png", plots.to_png(drawing))
        io.write_bytes(folder / f"{stem}.csv", csv(drawing.data).encode())
        index.append({"stem": stem, "section": section, "dataset": dataset, "title": drawing.title})
    io.write_json(folder / "index.json", index)
    log.info("%s figures", len(index))


def _shown(this: Job, network: Network, seed: int) -> Any:
    """Return what is shown of one network."""
    from gpex_bench.stages.draw import Shown
    from gpex_bench.stages.queries import queries

    config = this.config
    folder = Path("results") / config.run / network.dataset
    cell = folder / network.model / f"seed-{seed}"
    data = io.read_dataset(folder / "data.safetensors")
    model = load_model(config, network.model, data, cell / "model.safetensors")
    fitted = {
        name: config.surrogate(name).restore(model, data, io.read_tensors(cell / f"surrogates/{name}.safetensors")[0])
        for name in network.surrogates
    }
    explanations, surrogates = {}, {}
    for method in config.entries["method"]:
        if config.not_applicable(network, method) is None:
            explanation, _ = io.read_explanation(cell / f"explanations/{method}.safetensors")
            explainer = config.method(method)
            if explanation is not None and explainer is not None:
                explanations[method] = explanation
                if explainer.surrogate is not None:
                    surrogates[method] = fitted[explainer.surrogate]
    return Shown(
        dataset=network.dataset,
        model_name=network.model,
        data=data,
        model=model,
        query=queries(model, data, config.explain.samples),
        explanations=explanations,
        surrogates=surrogates,
    )


@job
def report(this: Job) -> None:
    """Tables, figures → the report."""
    from gpex_bench.report import Picture, Results, render
    from gpex_bench.stages.report import agreement, efficiency, facts

    run, headline = Run(this), this.config.headline
    folder = this.path("figures")
    index = io.read_json(folder / "index.json")
    pictures = [
        Picture(
            section=entry["section"],
            dataset=entry["dataset"],
            title=entry["title"],
            svg=(folder / f"{entry['stem']}.svg").read_text(),
            data=f"figures/{entry['stem']}.csv",
        )
        for entry in index
    ]
    results = Results(
        run=this.config.run,
        headline=headline,
        outcomes=run.tables["outcomes"],
        cells=run.tables["cells"],
        costs=pd.DataFrame(io.read_json(this.path("costs")), columns=list(frames.COSTS)),
        agreement=agreement(run.tables["agreement"]),
        efficiency=efficiency(run.tables, run.methods, run.metrics, headline),
        methods=run.methods,
        metrics=run.metrics,
        pictures=pictures,
        facts=facts(run.tables),
        provenance=_provenance(this),
    )
    io.write_bytes(this.path("report"), render(results).encode())


@job
def strict(this: Job) -> None:
    """Tables → an error if a cell or a metric failed; the report is there already."""
    cells, skipped = (io.read_table(path) for path in this.paths("tables"))
    rows = [*frames.records(cells), *frames.records(skipped)]
    failed = [f"{_words(row)}: {row['reason']}" for row in rows if row["status"] not in FINE]
    if failed:
        raise RuntimeError(f"strict: {len(failed)} failed. " + " | ".join(failed))
    io.write_bytes(this.path("done"), b"No cell and no metric failed.\n")


def _words(row: Mapping[Any, Any]) -> str:
    keys = ("dataset", "model", "seed", "method", "metric")
    return " ".join(str(row[key]) for key in keys if key in row)


def _provenance(this: Job) -> dict[str, Any]:
    """Return what made this run."""
    environment = provenance.environment()
    hardware = ("system", "processor", "cores")
    return {
        "command": f"snakemake --cores all --configfile {this.snakemake.params.configfile}",
        "code": " ".join(f"{name} {entry}" for name, entry in provenance.commit().items()),
        "versions": {name: str(entry) for name, entry in environment.items() if name not in hardware},
        "hardware": {name: str(environment[name]) for name in hardware},
        "config": json.dumps(this.snakemake.config, indent=1),
        "created": io.read_sidecar(this.path("cards").parent / "outcomes.parquet")["created"],
    }

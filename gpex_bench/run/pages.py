"""The jobs that show a run: figures, the report, and the check that nothing failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from gpex_bench.config.schema import Network
from gpex_bench.run import artefacts, provenance
from gpex_bench.run.aggregate import FINE, fits
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job, NotFitted, load_model, load_surrogate, log
from gpex_bench.tables.columns import COSTS, SURROGATE_COSTS
from gpex_bench.tables.order import records


class Run:
    """The tables and cards of a run, read back."""

    def __init__(self, this: Job) -> None:
        paths = [path for path in this.paths("tables") if path.suffix == ".parquet"]
        self.tables = {path.stem: artefacts.read_table(path) for path in paths}
        cards = artefacts.read_json(this.path("cards"))
        self.methods, self.metrics, self.surrogates = (
            cards["methods"],
            cards["metrics"],
            cards["surrogates"],
        )


@job
def draw(this: Job) -> None:
    """Tables, explanations of the first seed → figures, with the numbers they show."""
    from gpex_bench import plots
    from gpex_bench.stages.draw.agreement import draw_attention
    from gpex_bench.stages.draw.galleries import draw_explanations
    from gpex_bench.stages.draw.scores import draw_tables
    from gpex_bench.tables.render import csv

    run, headline, folder = Run(this), this.config.headline, this.path("figures")
    seed, up = this.config.seeds[0], this.config.metric(headline).higher_is_better
    scores = run.tables["scores"].assign(
        score=run.tables["scores"]["score"] * (1 if up else -1)
    )  # of the headline
    figures = [draw_tables(run.tables, run.methods, run.metrics, headline)]
    for network in this.config.networks:
        here = (
            (scores["dataset"] == network.dataset)
            & (scores["model"] == network.model)
            & (scores["seed"] == seed)
        )
        shown = _shown(this, network, seed)
        figures.append(draw_explanations(shown, scores[here], run.methods, headline))
        said = run.tables["predictions"].query(
            "dataset == @network.dataset & model == @network.model & seed == @seed"
        )
        figures.append(draw_attention(shown.data, shown.name, said))
    index = []
    for stem, section, dataset, drawing in chain.from_iterable(figures):
        artefacts.write_bytes(folder / f"{stem}.svg", plots.to_svg(drawing, stem).encode())
        artefacts.write_bytes(folder / f"{stem}.png", plots.to_png(drawing))
        artefacts.write_bytes(folder / f"{stem}.csv", csv(drawing.data).encode())
        index.append({"stem": stem, "section": section, "dataset": dataset, "title": drawing.title})
    artefacts.write_json(folder / "index.json", index)
    log.info("%s figures", len(index))


def _shown(this: Job, network: Network, seed: int) -> Any:
    """Return what is shown of one network."""
    from gpex_bench.stages.draw.shown import Shown
    from gpex_bench.stages.queries import queries

    config = this.config
    folder = Path("results") / config.run / network.dataset
    cell = folder / network.model / f"seed-{seed}"
    data = artefacts.read_dataset(folder / "data.safetensors")
    model = load_model(config, network.model, data, cell / "model.safetensors")
    fitted = {}
    for name in network.surrogates:
        with suppress(NotFitted):
            fitted[name] = load_surrogate(
                config, name, model, data, cell / f"surrogates/{name}.safetensors"
            )
    explanations, surrogates = {}, {}
    for method in config.entries["method"]:
        if config.not_applicable(network, method) is None:
            path = cell / f"explanations/{method}.safetensors"
            explanation = artefacts.read_explanation(path).explanation
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
    """Tables, figures → the report, its summary, and the numbers that it derives."""
    from gpex_bench.report import STATISTICS, Picture, Results, written
    from gpex_bench.stages.report import agreement, efficiency, facts
    from gpex_bench.tables.render import csv

    run, headline, config = Run(this), this.config.headline, this.config
    folder = this.path("figures")
    pictures = [
        Picture(
            section=entry["section"],
            dataset=entry["dataset"],
            title=entry["title"],
            svg=(folder / f"{entry['stem']}.svg").read_text(),
            data=f"figures/{entry['stem']}.csv",
        )
        for entry in artefacts.read_json(folder / "index.json")
    ]
    results = Results(
        run=config.run,
        headline=headline,
        outcomes=run.tables["outcomes"],
        cells=run.tables["cells"],
        costs=pd.DataFrame(artefacts.read_json(this.path("costs")), columns=list(COSTS)),
        agreement=agreement(run.tables["agreement"]),
        surrogates=run.surrogates,
        fits=run.tables["surrogates"],
        surrogate_costs=pd.DataFrame(
            artefacts.read_json(this.path("surrogate_costs")), columns=list(SURROGATE_COSTS)
        ),
        efficiency=efficiency(run.tables, run.methods, run.metrics, headline),
        methods=run.methods,
        metrics=run.metrics,
        datasets=[
            described("dataset", name, config.dataset(name)) for name in config.entries["dataset"]
        ],
        models=[described("model", name, config.model(name)) for name in config.entries["model"]],
        scores=run.tables["scores"],
        statistics={name: run.tables[name] for name in STATISTICS if name in run.tables},
        bibliography=this.path("references").read_text(),
        pictures=pictures,
        facts=facts(run.tables),
        provenance=_provenance(this),
        warnings=_warnings(this),
    )
    made = written(results)
    artefacts.write_bytes(this.path("report"), made.html.encode())
    artefacts.write_bytes(this.path("summary"), made.summary.encode())
    artefacts.write_bytes(this.path("ranking"), made.latex.encode())
    for name, frame in made.shown.items():
        artefacts.write_bytes(this.path("shown") / f"{name}.csv", csv(frame).encode())


def described(kind: str, run_id: str, plugin: Any) -> dict[str, Any]:
    """Return the card of a dataset or a network."""
    from gpex_bench.stages.aggregate import record

    return record(kind, run_id, plugin)


@job
def strict(this: Job) -> None:
    """Surrogates, tables → an error if a fit, a cell or a metric failed; what shows the run is there already."""
    rows = [
        row for path in this.paths("tables") for row in records(artefacts.read_table(path))
    ] + fits(this)[0]
    failed = [f"{_words(row)}: {row['reason']}" for row in rows if row["status"] not in FINE]
    if failed:
        raise RuntimeError(f"strict: {len(failed)} failed. " + " | ".join(failed))
    artefacts.write_bytes(this.path("done"), b"No fit, no cell and no metric failed.\n")


def _words(row: Mapping[Any, Any]) -> str:
    keys = ("dataset", "model", "seed", "surrogate", "method", "metric")
    return " ".join(str(row[key]) for key in keys if key in row)


def _warnings(this: Job) -> list[str]:
    """Say what a reader must know about the whole: tables made by code that has changed since, or was not committed."""
    now = this.snakemake.params.tables_code
    codes = {
        path.stem: artefacts.read_sidecar(path)["code"]
        for path in this.paths("tables")
        if path.suffix == ".parquet"
    }
    stale = sorted(name for name, code in codes.items() if code["fingerprint"] != now)
    dirty = sorted(name for name, code in codes.items() if code.get("dirty") and name not in stale)
    found = (
        [f"Stale: the code that made the tables {', '.join(stale)} has changed since."]
        if stale
        else []
    )
    which = "the tables" if len(dirty) == len(codes) else f"the tables {', '.join(dirty)}"
    return found + ([f"The code that made {which} was not committed as it was."] if dirty else [])


def _provenance(this: Job) -> dict[str, Any]:
    """Return what made this run."""
    environment = provenance.environment()
    hardware = ("system", "processor", "cores")
    tables = [path for path in this.paths("tables") if path.suffix == ".parquet"]
    sidecars = {path.stem: artefacts.read_sidecar(path) for path in tables}
    return {
        "command": f"snakemake --cores all --configfile {this.snakemake.params.configfile}",
        "code": " ".join(f"{name} {entry}" for name, entry in provenance.commit().items()),
        "versions": {
            name: str(entry) for name, entry in environment.items() if name not in hardware
        },
        "hardware": {name: str(environment[name]) for name in hardware},
        "fingerprints": {
            name: f"sha256 {card['sha256']}, code {card['code']['fingerprint']}"
            for name, card in sidecars.items()
        },
        "config": json.dumps(this.snakemake.config, indent=1),
        "created": artefacts.read_sidecar(this.path("cards").parent / "outcomes.parquet")[
            "created"
        ],
    }

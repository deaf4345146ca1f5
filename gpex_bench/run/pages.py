"""The jobs that show a run: figures, the report, and the check that nothing failed."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from gpex_bench.config.schema import Network
from gpex_bench.plugins.cards import card, dataset_card
from gpex_bench.plugins.homes import BIBLIOGRAPHY, without_folders
from gpex_bench.run import artefacts, provenance
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import (
    Job,
    NotFitted,
    NotTrained,
    load_model,
    load_predicted,
    load_surrogate,
    log,
)
from gpex_bench.run.status_rows import failures, fit_rows
from gpex_bench.tables.columns import COSTS, SURROGATE_COSTS
from gpex_bench.tables.order import records
from gpex_bench.tables.words import wording

HARDWARE = ("system", "processor", "cores")


class Run:
    """The tables and cards of a run, read back."""

    def __init__(self, this: Job) -> None:
        self.tables = {path.stem: artefacts.read_table(path) for path in _tables(this)}
        cards = artefacts.read_json(this.path("cards"))
        self.methods = cards["methods"]
        self.metrics = cards["metrics"]
        self.surrogates = cards["surrogates"]


def _tables(this: Job) -> list[Path]:
    """Return the parquet files among the tables of a run."""
    return [path for path in this.paths("tables") if path.suffix == ".parquet"]


@job
def draw(this: Job) -> None:
    """Tables, explanations of the first seed → figures, with the numbers they show."""
    from gpex_bench import plots
    from gpex_bench.stages.draw import contrast
    from gpex_bench.stages.draw.agreement import draw_attention
    from gpex_bench.stages.draw.galleries import draw_explanations
    from gpex_bench.stages.draw.scores import draw_tables
    from gpex_bench.tables.render import csv

    run, headline, seed = Run(this), this.config.headline, this.config.seeds[0]
    scores, predictions = run.tables["scores"], run.tables["predictions"]
    # draw_explanations looks for the best samples: the higher, the better
    if not this.config.metric(headline).higher_is_better:
        scores = scores.assign(score=-scores["score"])

    figures: list[Any] = []
    lost = []
    whys: dict[tuple[str, str], dict[str, str]] = {}
    contrasts: list[Any] = []
    try:
        figures.extend(draw_tables(run.tables, run.methods, run.metrics, headline))
        cards = _dataset_cards(this)
        whys = contrast.chosen(run.tables, run.methods, run.metrics, headline, cards)
    except Exception as error:
        lost.append(_lost("The tables", error))

    for network in this.config.networks:
        own_scores = _of_network(scores, network, seed)
        own_predictions = _of_network(predictions, network, seed)
        try:
            shown = _shown(this, network, seed)
            galleries = draw_explanations(shown, own_scores, run.methods, headline)
            attention = draw_attention(shown.data, shown.name, own_predictions)
            figures += [*galleries, *attention]
            if (network.dataset, network.model) in whys:
                own = whys[network.dataset, network.model]
                made = contrast.contrasted(shown, own, own_scores, headline, run.methods)
                contrasts += [made] if made is not None else []
        except NotTrained:
            continue  # the report says why there is nothing to draw
        except Exception as error:
            what = f"The explanations of {network.model} on {network.dataset}"
            lost.append(_lost(what, error))

    figures.extend(contrast.draw_contrasts(contrasts))
    folder, index = this.path("figures"), []
    artefacts.write_json(folder / "lost.json", lost)
    for stem, section, dataset, drawing in figures:
        artefacts.write_bytes(folder / f"{stem}.svg", plots.to_svg(drawing, stem).encode())
        artefacts.write_bytes(folder / f"{stem}.png", plots.to_png(drawing))
        artefacts.write_bytes(folder / f"{stem}.csv", csv(drawing.data).encode())
        index.append({"stem": stem, "section": section, "dataset": dataset, "title": drawing.title})
    artefacts.write_json(folder / "index.json", index)
    log.info("%s figures", len(index))


def _dataset_cards(this: Job) -> list[dict[str, Any]]:
    """Return the card of each dataset of the config."""
    config = this.config
    return [dataset_card(name, config.dataset(name)) for name in config.entries["dataset"]]


def _lost(what: str, error: Exception) -> str:
    """Return the warning of figures that could not be drawn, for which the report must not wait."""
    log.exception("%s cannot be drawn", what)
    return f"{what} could not all be drawn. {type(error).__name__}: {error}"


def _of_network(table: pd.DataFrame, network: Network, seed: int) -> pd.DataFrame:
    """Return the rows of one network of one seed."""
    is_own = (table["dataset"] == network.dataset) & (table["model"] == network.model)
    return table[is_own & (table["seed"] == seed)]


def _shown(this: Job, network: Network, seed: int) -> Any:
    """Return what is shown of one network; raises NotTrained if it cannot be used."""
    from gpex_bench.stages.draw.shown import Shown
    from gpex_bench.stages.queries import queries

    config = this.config
    folder = this.folder / network.dataset
    cell = folder / network.model / f"seed-{seed}"
    data = artefacts.read_dataset(folder / "data.safetensors")
    model = load_model(config, network.model, data, cell / "model.safetensors")
    files = [
        folder / network.model / f"seed-{one}" / "model.safetensors"
        for one in config.seeds_of(network.model)
    ]
    predicted = load_predicted(files, data.kind)

    fitted = {}
    for name in network.surrogates:
        path = cell / f"surrogates/{name}.safetensors"
        with suppress(NotFitted):
            fitted[name] = load_surrogate(config, name, model, data, path)

    explanations, surrogates = {}, {}
    for method in config.entries["method"]:
        if config.not_applicable(network, method) is not None:
            continue
        path = cell / f"explanations/{method}.safetensors"
        explanation = artefacts.read_explanation(path).explanation
        explainer = config.method(method)
        if explanation is None or explainer is None:
            continue
        explanations[method] = explanation
        if explainer.surrogate is not None:
            surrogates[method] = fitted[explainer.surrogate]

    return Shown(
        dataset=network.dataset,
        model_name=network.model,
        data=data,
        model=model,
        query=queries(model, data, config.explain.samples, predicted),
        explanations=explanations,
        surrogates=surrogates,
    )


@job
def report(this: Job) -> None:
    """Tables, figures → the report, its summary, and the numbers that it derives."""
    from gpex_bench.report import STATISTICS, Results, written
    from gpex_bench.stages.report import agreement, efficiency, facts, given, regimes
    from gpex_bench.tables.render import csv

    run, headline, config = Run(this), this.config.headline, this.config
    costs = artefacts.read_json(this.path("costs"))
    surrogate_costs = artefacts.read_json(this.path("surrogate_costs"))
    lost: list[str] = artefacts.read_json(this.path("figures") / "lost.json")
    read = _data_records(this)
    results = Results(
        run=config.run,
        headline=headline,
        outcomes=run.tables["outcomes"],
        cells=run.tables["cells"],
        costs=pd.DataFrame(costs, columns=list(COSTS)),
        agreement=agreement(run.tables["agreement"]),
        surrogates=run.surrogates,
        fits=run.tables["surrogates"],
        surrogate_costs=pd.DataFrame(surrogate_costs, columns=list(SURROGATE_COSTS)),
        efficiency=efficiency(run.tables, run.methods, run.metrics, headline),
        methods=run.methods,
        metrics=run.metrics,
        datasets=_dataset_cards(this),
        models=[card("model", name, config.model(name)) for name in config.entries["model"]],
        scores=run.tables["scores"],
        statistics={name: run.tables[name] for name in STATISTICS if name in run.tables},
        bibliography=BIBLIOGRAPHY.read_text(),
        pictures=_pictures(this),
        study=_study(this),
        facts=facts(run.tables, {name: record.get("unit", "") for name, record in read.items()}),
        regimes=regimes(run.tables["networks"]),
        given=given(run.tables["networks"]),
        provenance=_provenance(this),
        data_notes={name: record.get("notes", []) for name, record in read.items()},
        remarks={name: config.dataset(name).remarks for name in config.entries["dataset"]},
        warnings=[*_unusable(run.tables["networks"]), *lost, *_warnings(this)],
    )

    made = written(results)
    artefacts.write_bytes(this.path("report"), made.html.encode())
    artefacts.write_bytes(this.path("summary"), made.summary.encode())
    artefacts.write_bytes(this.path("ranking"), made.latex.encode())
    for name, frame in made.shown.items():
        artefacts.write_bytes(this.path("shown") / f"{name}.csv", csv(frame).encode())


def _data_records(this: Job) -> dict[str, dict[str, Any]]:
    """Return the sidecar of each dataset: its unit, and what was noted when it was read."""
    names = sorted({network.dataset for network in this.config.networks})
    return {name: artefacts.read_sidecar(this.folder / name / "data.safetensors") for name in names}


def _study(this: Job) -> Any:
    """Return the page of the run's study with its figures, or None."""
    from gpex_bench.report import StudyPage

    for page in this.paths("study"):
        figures = {path.stem: path.read_text() for path in sorted(page.parent.glob("*.svg"))}
        name = this.config.study_name
        return StudyPage(name=str(name), text=page.read_text(), figures=figures)
    return None


def _pictures(this: Job) -> list[Any]:
    """Return the figures of the run."""
    from gpex_bench.report import Picture

    folder = this.path("figures")
    return [
        Picture(
            section=entry["section"],
            dataset=entry["dataset"],
            title=entry["title"],
            svg=(folder / f"{entry['stem']}.svg").read_text(),
            data=f"figures/{entry['stem']}.csv",
        )
        for entry in artefacts.read_json(folder / "index.json")
    ]


@job
def strict(this: Job) -> None:
    """Surrogates, tables, figures → an error if anything failed, after all else is made."""
    rows, _ = fit_rows(this)
    for path in this.paths("tables"):
        rows += records(artefacts.read_table(path))

    failed = failures(rows)
    for folder in this.paths("figures"):
        failed += artefacts.read_json(folder / "lost.json")
    if failed:
        raise RuntimeError(f"strict: {len(failed)} failed. " + " | ".join(failed))
    artefacts.write_bytes(this.path("done"), b"No fit, no cell, no metric and no figure failed.\n")


def _unusable(networks: pd.DataFrame) -> list[str]:
    """Return a warning for each network that cannot be used, with the reason."""
    return [
        f"The network {row['model']} on {row['dataset']}, seed {row['seed']}, cannot be used, and "
        f"nothing was computed from it. {wording(row['status'], row['reason'])}"
        for row in records(networks[networks["status"] != "ok"])
    ]


def _warnings(this: Job) -> list[str]:
    """Return warnings of tables made by code that has changed since, or was not committed."""
    codes = {path.stem: artefacts.read_sidecar(path)["code"] for path in _tables(this)}
    now = this.params["tables_code"]
    stale = sorted(name for name, code in codes.items() if code["fingerprint"] != now)
    dirty = sorted(name for name, code in codes.items() if code.get("dirty") and name not in stale)

    warnings = []
    if stale:
        names = ", ".join(stale)
        warnings.append(f"Stale: the code that made the tables {names} has changed since.")
    if dirty:
        which = "the tables" if len(dirty) == len(codes) else f"the tables {', '.join(dirty)}"
        warnings.append(f"The code that made {which} had changes that are not committed.")
    return warnings


def _read(this: Job) -> set[str]:
    """Return the files that the plug-ins of the config read, as written."""
    entries = [entry for of_kind in this.config.entries.values() for entry in of_kind.values()]
    return {name for entry in entries for name in getattr(entry.settings, "reads", ())}


def _provenance(this: Job) -> dict[str, Any]:
    """Return what made this run."""
    environment = {name: str(entry) for name, entry in provenance.environment().items()}
    sidecars = {path.stem: artefacts.read_sidecar(path) for path in _tables(this)}
    return {
        "command": this.params["command"],
        "code": " ".join(f"{name} {entry}" for name, entry in provenance.commit().items()),
        "versions": {name: entry for name, entry in environment.items() if name not in HARDWARE},
        "hardware": {name: environment[name] for name in HARDWARE},
        "fingerprints": {
            name: f"sha256 {record['sha256']}, code {record['code']['fingerprint']}"
            for name, record in sidecars.items()
        },
        "config": without_folders(json.dumps(this.order.written, indent=1), _read(this)),
        "created": sidecars["outcomes"]["created"],
    }

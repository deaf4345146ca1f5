"""The jobs of the study on metrics."""

from __future__ import annotations

import pandas as pd

from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job, log
from gpex_bench.studies.answer import write
from gpex_bench.studies.metric_trust.plan import MetricTrust, methods_on, metrics_on
from gpex_bench.types import Task


@job
def disturb(this: Job) -> None:
    """Networks of every seed → scores with and without perturbations."""
    from gpex_bench.stages.queries import queries
    from gpex_bench.studies.metric_trust.measure import disturb

    config = this.config
    place = (this.wildcards["dataset"], this.wildcards["model"])
    network = next(each for each in config.networks if (each.dataset, each.model) == place)
    metrics = {name: config.metric(name) for name in metrics_on(config, network)}
    explainers = {name: config.method(name) for name in methods_on(config, network)}
    methods = {name: explainer for name, explainer in explainers.items() if explainer is not None}

    parts = []
    for seed, path in zip(config.seeds_of(network.model), this.paths("models"), strict=True):
        task = Task(model=this.model(path), data=this.data, surrogate=None, seed=seed)
        query = queries(task.model, task.data, config.explain.samples, this.predicted)
        parts.append(
            disturb(
                metrics,
                methods,
                task,
                query,
                perturbations=this.study(MetricTrust).each(),
                n_explained_again=config.explain.robustness_samples,
            )
        )
        log.info("%s: seed %s is measured", this.name, seed)

    for name, tables in zip(("scores", "perturbed"), zip(*parts, strict=True), strict=True):
        table = pd.concat(tables, ignore_index=True)
        table.insert(0, "model", network.model)
        table.insert(0, "dataset", network.dataset)
        artefacts.write_table(this.path(name), table)
        this.describe(this.path(name), kind=f"metric trust {name}")


@job
def metric_trust(this: Job) -> None:
    """Scores of every network → table, figure and page."""
    from gpex_bench.studies.metric_trust.answer import answer

    config = this.config
    tables = {
        name: pd.concat([artefacts.read_table(path) for path in this.paths(name)])
        for name in ("scores", "perturbed")
    }
    found = answer(
        tables["scores"],
        tables["perturbed"],
        plan=this.study(MetricTrust),
        metrics={name: config.metric(name) for name in config.entries["metric"]},
        n_samples=config.explain.samples,
        n_explained_again=min(config.explain.robustness_samples, config.explain.samples),
    )
    write(this, found)

"""The jobs of the study on references."""

from __future__ import annotations

import pandas as pd

from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job, log
from gpex_bench.studies.answer import write
from gpex_bench.studies.references.plan import References
from gpex_bench.types import Task


@job
def compare_references(this: Job) -> None:
    """Networks of every seed → scores under every fill, and how plausible the fills are."""
    from gpex_bench.stages.queries import queries
    from gpex_bench.studies.references.measure import measure

    config, limits = this.config, this.config.explain
    names = dict.fromkeys(name for one in _named(this.study(References)) for name in one)
    methods = {name: config.method(name) for name in names}
    usable = {name: method for name, method in methods.items() if method is not None}

    parts: dict[str, list[pd.DataFrame]] = {"scores": [], "plausible": []}
    for seed, path in zip(this.seeds, this.paths("models"), strict=True):
        task = Task(model=this.model(path), data=this.data, surrogate=None, seed=seed)
        query = queries(task.model, task.data, limits.samples, this.predicted)
        tables = measure(usable, task, query, limits.fills)
        for name, table in zip(parts, tables, strict=True):
            parts[name].append(table.assign(seed=seed))
        log.info("%s: seed %s is measured", this.name, seed)

    for name, tables_of_seeds in parts.items():
        table = pd.concat(tables_of_seeds, ignore_index=True)
        table.insert(0, "model", this.wildcards["model"])
        table.insert(0, "dataset", this.wildcards["dataset"])
        artefacts.write_table(this.path(name), table)
        this.describe(this.path(name), kind=f"references {name}")


def _named(plan: References) -> list[tuple[str, ...]]:
    """Return the methods that the study names."""
    return [*plan.families.values(), plan.source_methods]


@job
def references(this: Job) -> None:
    """Scores and plausibility of every network → tables, figure and page."""
    from gpex_bench.studies.references.answer import answer

    tables = {
        name: pd.concat([artefacts.read_table(path) for path in this.paths(name)])
        for name in ("scores", "plausible")
    }
    write(this, answer(tables["scores"], tables["plausible"], this.study(References)))

"""The jobs of the retraining study."""

from __future__ import annotations

import pandas as pd

from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job, log, write_cell_table
from gpex_bench.studies.answer import write
from gpex_bench.studies.retraining.plan import Retraining


@job
def relabel(this: Job) -> None:
    """Data → networks trained on right and on permuted labels."""
    from gpex_bench.studies.retraining.measure import relabel

    seed = int(this.wildcards["seed"])
    networks = relabel(
        this.config.model(this.wildcards["model"]),
        this.data,
        this.study(Retraining),
        seed,
        this.progress(seed),
    )

    for name, (model, notes) in networks.items():
        path = this.path(name)
        artefacts.write_tensors(path, model.state_dict(), notes)
        this.describe(path, kind="model", seed=seed, key={"network": name}, accuracies=notes)


@job
def retrain(this: Job) -> None:
    """Data, networks → what is lost without what one method points at."""
    from gpex_bench.studies.retraining.measure import NETWORKS, retrain

    seed = int(this.wildcards["seed"])
    method = this.wildcards["method"]
    explainer = this.config.method(method)
    if explainer is None:
        raise ValueError(f"{method} cannot be used; correct it or leave it out.")

    table = retrain(
        explainer,
        {name: this.model(this.path(name)) for name in NETWORKS},
        this.config.model(this.wildcards["model"]),
        this.data,
        plan=this.study(Retraining),
        seed=seed,
        progress=lambda text: log.info("%s %s seed %s: %s", this.name, method, seed, text),
    )
    table.insert(0, "method", method)
    write_cell_table(this, this.path("table"), table, seed, kind="retraining")


@job
def retraining(this: Job) -> None:
    """Cells of all methods → tables, figures and the page."""
    from gpex_bench.studies.retraining.answer import answer

    tables = [artefacts.read_table(path) for path in this.paths("cells")]
    cells = pd.concat(tables, ignore_index=True)

    rows = []
    for path in this.paths("networks"):
        key = artefacts.read_key(path)
        _, accuracies = artefacts.read_tensors(path)
        rows.append(key | accuracies)
    networks = pd.DataFrame(rows)

    plan = this.study(Retraining)
    write(this, answer(cells, networks, plan))

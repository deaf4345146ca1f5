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
    architecture = this.config.model(this.wildcards["model"])
    for name, (model, notes) in relabel(
        architecture, this.data, _plan(this), seed, this.progress(seed)
    ).items():
        artefacts.write_tensors(this.path(name), model.state_dict(), notes)
        key = {"network": name}
        this.describe(this.path(name), kind="model", seed=seed, key=key, accuracies=notes)


@job
def retrain(this: Job) -> None:
    """Data, networks → what is lost without what one method points at."""
    from gpex_bench.studies.retraining.measure import NETWORKS, retrain

    seed, method = int(this.wildcards["seed"]), this.wildcards["method"]
    explainer = this.config.method(method)
    if explainer is None:
        raise ValueError(f"{method} cannot be used; mend it or leave it out.")
    table = retrain(
        explainer,
        {name: this.model(this.path(name)) for name in NETWORKS},
        this.config.model(this.wildcards["model"]),
        this.data,
        plan=_plan(this),
        seed=seed,
        progress=lambda text: log.info("%s %s seed %s: %s", this.name, method, seed, text),
    )
    table.insert(0, "method", method)
    write_cell_table(this, this.path("table"), table, seed, kind="retraining")


@job
def retraining(this: Job) -> None:
    """Cells of all methods → tables, figures and sentences."""
    from gpex_bench.studies.retraining.answer import retraining

    cells = pd.concat(
        [artefacts.read_table(path) for path in this.paths("cells")], ignore_index=True
    )
    notes = []
    for path in this.paths("networks"):
        _, accuracies = artefacts.read_tensors(path)
        notes.append({**artefacts.read_key(path), **accuracies})
    found = retraining(cells, pd.DataFrame(notes), _plan(this))
    write(this, found)


def _plan(this: Job) -> Retraining:
    """Return the section `retraining`."""
    if not isinstance(this.config.study, Retraining):
        raise ValueError(
            "This config has no section `retraining`; add one, or do not ask for its files."
        )
    return this.config.study

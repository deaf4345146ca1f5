"""The jobs of the experiment on wrong labels."""

from __future__ import annotations

import pandas as pd

from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job, write_cell_table
from gpex_bench.studies.answer import write
from gpex_bench.studies.debugging.plan import Debugging


@job
def repair(this: Job) -> None:
    """Data → the curves of one training seed."""
    from gpex_bench.studies.debugging.measure import curves

    config, seed, path = this.config, int(this.wildcards["seed"]), this.path("curves")
    place = (this.wildcards["dataset"], this.wildcards["model"])
    network = next(
        network for network in config.networks if (network.dataset, network.model) == place
    )
    recipes = {name: config.surrogate(name) for name in network.surrogates}
    model = config.model(this.wildcards["model"])
    table = curves(model, recipes, this.data, _plan(this), seed, this.progress(seed))
    write_cell_table(this, path, table, seed, kind="debugging")


@job
def debugging(this: Job) -> None:
    """Curves of every seed → table, figures and sentences."""
    from gpex_bench.studies.debugging.answer import debugging

    found = debugging(
        pd.concat([artefacts.read_table(path) for path in this.paths("curves")], ignore_index=True),
        _plan(this),
    )
    write(this, found)


def _plan(this: Job) -> Debugging:
    """Return the section `debugging`."""
    if not isinstance(this.config.study, Debugging):
        raise ValueError(
            "This config has no section `debugging`; add one, or do not ask for its files."
        )
    return this.config.study

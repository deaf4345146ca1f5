"""The jobs of the debugging study."""

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
    from gpex_bench.studies.debugging.measure import measure_curves

    config = this.config
    seed = int(this.wildcards["seed"])

    table = measure_curves(
        config.model(this.wildcards["model"]),
        {name: config.surrogate(name) for name in _surrogates(this)},
        this.data,
        plan=this.study(Debugging),
        seed=seed,
        progress=this.progress(seed),
    )
    write_cell_table(this, this.path("curves"), table, seed, kind="debugging")


@job
def debugging(this: Job) -> None:
    """Curves of every seed → tables, figures and the page."""
    from gpex_bench.studies.debugging.answer import answer

    tables = [artefacts.read_table(path) for path in this.paths("curves")]
    curves = pd.concat(tables, ignore_index=True)
    plan = this.study(Debugging)
    write(this, answer(curves, plan))


def _surrogates(this: Job) -> list[str]:
    """Return the run ids of the surrogates of the job's network."""
    dataset = this.wildcards["dataset"]
    model = this.wildcards["model"]
    for network in this.config.networks:
        if network.dataset == dataset and network.model == model:
            return list(network.surrogates)
    raise ValueError(f"networks must hold {dataset} with {model}, got none; add it.")

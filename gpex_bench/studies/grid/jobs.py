"""The job that answers a grid's question."""

from __future__ import annotations

import pandas as pd

from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job
from gpex_bench.run.status_rows import fit_rows
from gpex_bench.studies.answer import write
from gpex_bench.studies.grid.plan import Grid
from gpex_bench.tables.columns import SURROGATE_COSTS


@job
def grid(this: Job) -> None:
    """Agreement of every setting → table, figure and page."""
    from gpex_bench.studies.grid.answer import answer

    config = this.config
    plan = this.study(Grid)
    settings = plan.places(config.written_sections, config.written_networks)

    # a fit that failed is a setting without numbers, with the reason
    costs, reasons = [], {}
    for fate, cost in zip(*fit_rows(this), strict=True):
        if fate["status"] == "ok":
            costs.append(cost)
        else:
            place = f"{fate['dataset']}/{fate['model']}/{fate['surrogate']}"
            reasons[place] = fate["reason"]

    found = answer(
        plan,
        settings,
        agreement=[artefacts.read_table(path) for path in this.paths("agreement")],
        costs=pd.DataFrame(costs, columns=list(SURROGATE_COSTS)),
        reasons=reasons,
        n_seeds=max(len(config.seeds_of(each.model)) for each in config.networks),
    )
    write(this, found)

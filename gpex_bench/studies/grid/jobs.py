"""The job that answers a study's question."""

from __future__ import annotations

import pandas as pd

from gpex_bench.run import artefacts
from gpex_bench.run.aggregate import fits
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job
from gpex_bench.studies.answer import write
from gpex_bench.studies.grid.plan import Grid
from gpex_bench.tables.columns import SURROGATE_COSTS


@job
def grid(this: Job) -> None:
    """Agreement of every setting → table, figure and sentences."""
    from gpex_bench.studies.grid.answer import answer

    asked = this.config.study
    if not isinstance(asked, Grid):
        raise ValueError(
            "This config has no section `grid`; add one, or run it without the rule `grid`."
        )
    fates, costs = fits(this)
    failed = [fate for fate in fates if fate["status"] != "ok"]
    costs = [cost for cost, fate in zip(costs, fates, strict=True) if fate["status"] == "ok"]
    found = answer(
        asked,
        asked.places(this.config.written_sections, this.config.written_networks),
        agreement=[artefacts.read_table(path) for path in this.paths("agreement")],
        costs=pd.DataFrame(costs, columns=list(SURROGATE_COSTS)),
        reasons={
            f"{fate['dataset']}/{fate['model']}/{fate['surrogate']}": fate["reason"]
            for fate in failed
        },
        n_seeds=len(this.config.seeds),
    )
    write(this, found)

"""The job of the study on variance."""

from __future__ import annotations

from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job
from gpex_bench.studies.answer import write
from gpex_bench.studies.variance.plan import Variance, data_seeds, draws


@job
def variance(this: Job) -> None:
    """Scores of the run → table, figures and page."""
    from gpex_bench.studies.variance.answer import answer
    from gpex_bench.studies.variance.measure import with_levels

    config = this.config
    scores = artefacts.read_table(this.path("scores"))
    placed = with_levels(scores, data_seeds(config), draws(config))

    found = answer(placed, this.study(Variance))
    write(this, found)

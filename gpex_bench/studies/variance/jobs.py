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

    scores = artefacts.read_table(this.path("scores"))
    placed = with_levels(scores, data_seeds(this.config), draws(this.config))
    write(this, answer(placed, this.study(Variance)))

"""The job of the study on claims."""

from __future__ import annotations

from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job
from gpex_bench.studies.answer import write
from gpex_bench.studies.claims.plan import Claims


@job
def claims(this: Job) -> None:
    """Scores of the run → table, figure and page."""
    from gpex_bench.studies.claims.answer import answer
    from gpex_bench.studies.claims.measure import leads

    plan = this.study(Claims)
    names = {claim.metric for claim in plan.claims}
    better = {name: this.config.metric(name).higher_is_better for name in names}

    scores = artefacts.read_table(this.path("scores"))
    write(this, answer(leads(scores, plan.claims, better), plan))

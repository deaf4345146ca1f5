"""The jobs of the study on planted truth."""

from __future__ import annotations

import pandas as pd

from gpex_bench.data.painted.source import PlantedSource
from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job, write_cell_table
from gpex_bench.studies.answer import write
from gpex_bench.studies.truth.plan import TruthStudy
from gpex_bench.types import Need, Source


@job
def intervene(this: Job) -> None:
    """Networks of every seed → what they use."""
    from gpex_bench.studies.truth.measure import intervene

    source = this.config.dataset(this.wildcards["dataset"])
    if not isinstance(source, PlantedSource):
        raise TypeError(f"the plan lets no {type(source).__name__} pass")
    models = dict(zip(this.config.seeds, map(this.model, this.paths("models")), strict=True))

    tables = intervene(models, this.data, source.interventions(), source.planted)
    for path, (seed, table) in zip(this.paths("used"), tables, strict=True):
        write_cell_table(this, path, table, seed, kind="what a network uses")


@job
def truth(this: Job) -> None:
    """Scores of the run, and what its networks use → tables, figure and page."""
    from gpex_bench.studies.truth.answer import answer

    used = [artefacts.read_table(path) for path in this.paths("used")]
    config = this.config
    found = answer(
        artefacts.read_table(this.path("scores")),
        artefacts.read_table(this.path("variant_scores")),
        pd.concat(used, ignore_index=True),
        cards=artefacts.read_json(this.path("cards")),
        images=[name for name in config.entries["dataset"] if _is_image(config.dataset(name))],
        plan=this.study(TruthStudy),
    )
    write(this, found)


def _is_image(source: Source) -> bool:
    return Need.IMAGE in source.offers

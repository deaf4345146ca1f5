# ruff: noqa: I001 - the tests copy this folder into the package
"""The job of the toy study."""

import pandas as pd

from gpex_bench.run import artefacts
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import Job
from gpex_bench.studies.answer import write
from gpex_bench.studies.toy.plan import Toy


@job
def toy(this: Job) -> None:
    """Networks → table, figure and page."""
    from gpex_bench.studies.toy.answer import answer

    rows = []
    for path in this.paths("models"):
        _, accuracies = artefacts.read_tensors(path)
        rows.append(artefacts.read_key(path) | accuracies)
    write(this, answer(pd.DataFrame(rows), this.study(Toy)))

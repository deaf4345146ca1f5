"""Stages: the recorded curves are those behind the scores, whatever the number of positions."""

import pandas as pd
import pytest
import torch

from gpex_bench import statistics
from gpex_bench.metrics.srg import SRG
from gpex_bench.plots import removal
from gpex_bench.stages.score import score
from gpex_bench.toys import Smooth
from gpex_bench.types import Attribution, Case, Dataset, Explainer, Query, Split, Task, settings


@settings
class Fixed(Explainer):
    """Says where the map of this test comes from; nobody calls it."""

    reference = "none"
    kind = "gradient"

    def explain(self, task, query):
        raise NotImplementedError


def table_case(n_columns: int) -> Case:
    x = torch.randn(4, n_columns, generator=torch.Generator().manual_seed(n_columns))
    split = Split(x=x, y=torch.zeros(4, dtype=torch.long), sample=torch.arange(4))
    names = tuple(f"f{number}" for number in range(n_columns))
    data = Dataset(
        name="d", train=split, test=split, classes=("a", "b"), features=names, baseline=torch.zeros(n_columns)
    )
    task = Task(model=Smooth((n_columns,)).eval(), data=data, surrogate=None, seed=1)
    query = Query(x=x, target=torch.zeros(4, dtype=torch.long), sample=split.sample)
    return Case(task=task, query=query, explanation=Attribution(values=x.abs() + x), explainer=Fixed())


@pytest.mark.parametrize("n_columns", [30, 61])
def test_the_recorded_curves_enclose_the_score(n_columns: int) -> None:
    scores, curves, failed = score({"srg": SRG()}, table_case(n_columns), 4, 60.0)
    assert not failed
    steps = curves["fraction"].unique() * n_columns
    assert steps == pytest.approx(steps.round(), abs=1e-9)  # whole columns are gone at every point
    whole = statistics.curve_summary(pd.DataFrame({**curves, "dataset": "d", "model": "m", "method": "f", "seed": 1}))
    assert removal.area(whole) == pytest.approx(scores["score"].mean(), abs=1e-9)

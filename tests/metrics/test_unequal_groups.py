"""No metric measures how large the groups of positions are that it looks at."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

from gpex_bench.measurements.curves import Curves
from gpex_bench.measurements.maps import means_of
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Attribution, Query, Task
from tests.metrics.conftest import GradientTimesInput, lazily
from tests.vocabulary import datasets
from tests.vocabulary.networks import Linear

METRICS = {name: plugin.cls for name, plugin in plugins("metric").items()}


def case(shape, values, seed=0):
    """Return a linear network on inputs of a shape, with one map for all samples, or exact ones."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(16, *shape, generator=generator) + 0.5  # every removal lowers some logit
    weight = torch.rand(3, x[0].numel(), generator=generator)
    data = datasets.dataset(x, classes=3)
    task = Task(model=Linear(weight).eval(), data=data, surrogate=None, seed=3)
    query = Query(x=x, target=torch.arange(16) % 3, sample=torch.arange(16))
    explainer = GradientTimesInput()
    if values is None:
        values = explainer.explain(task, query).values
    explanation = Attribution(values=values.expand_as(x).contiguous())
    return lazily(task=task, query=query, explanation=explanation, explainer=explainer)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("faithfulness_estimate", (30,)),  # 12 chunks of two or three columns
        ("monotonicity_nguyen", (30,)),
        ("faithfulness_correlation", (1, 10, 10)),  # cells of 16, 8 and 4 pixels
        ("sensitivity_n", (1, 10, 10)),
    ],
)
@pytest.mark.parametrize("number", [0.1, 1 / 3, -7.0])
def test_a_constant_map_scores_nothing(name, shape, number):
    found = METRICS[name]().score(case(shape, torch.full(shape, number)))
    assert (found == 0).all()


@pytest.mark.parametrize(
    ("name", "shape"),
    [("faithfulness_estimate", (30,)), ("faithfulness_correlation", (1, 10, 10))],
)
def test_an_exact_map_is_perfect(name, shape):
    assert METRICS[name]().score(case(shape, None)).min() > 1 - 1e-4


def test_patches_at_the_border_of_a_constant_map_go_in_no_order():
    shape = (1, 10, 10)
    cut = case(shape, torch.full(shape, 0.1))
    curve = Curves(unit="patch", n_steps=9).measure(cut)

    # Small patches would all go last: the fall of a step would follow its number.
    falls = -curve.of("logit").most_first.diff(dim=1).mean(0)
    assert abs(stats.spearmanr(np.arange(len(falls)), falls).statistic) < 0.75
    last = -curve.of("logit").most_first.diff(dim=1)[:, -1]
    assert last.max() > 2 * last.min()


def test_means_of_equal_numbers_are_equal_to_the_last_bit():
    group = torch.tensor([[0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 3, 3, 3]])
    for number in (0.1, 1 / 3, 1e-30, -7e12):
        values = torch.full(group.shape, number, dtype=torch.float64)
        means = means_of(values, group, 5)
        assert len(set(means[0, :4].tolist())) == 1 and means[0, 4] == 0
        assert means[0, 0].item() == pytest.approx(number)


def test_columns_that_belong_together_share_the_relevance_of_one():
    x = torch.rand(4, 5)
    data = dataclasses.replace(datasets.dataset(x), groups=((1, 2, 3),))
    task = Task(model=Linear(torch.rand(3, 5)).eval(), data=data, surrogate=None, seed=3)
    query = Query(x=x, target=torch.zeros(4, dtype=torch.long), sample=torch.arange(4))
    values = plugins("method")["constant"].cls().explain(task, query).values
    torch.testing.assert_close(values[0], torch.tensor([1, 1 / 3, 1 / 3, 1 / 3, 1]))

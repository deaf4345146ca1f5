"""The two explainers of GPEX, on fitted surrogates of small networks."""

import pytest
import torch
from torch import nn

from gpex_bench.surrogates.gpex import Gpex
from gpex_bench.types import Progress, Query, Task
from tests.vocabulary import datasets
from tests.vocabulary.networks import Tiny, seeded

RECIPE = Gpex(n_steps=30, dim=4, width=16, batch_size=16, n_refreshed=12)
QUADRATURE = 1e-3  # of integrated gradients with 50 points on networks with kinks, relative


@pytest.fixture(scope="module", params=["table", "images"])
def asked(request):
    """A task with a fitted surrogate, and a query."""
    draw = torch.Generator().manual_seed(0)
    shape = (6,) if request.param == "table" else (2, 9, 9)
    is_table = request.param == "table"

    def network():
        trunk = nn.Linear(6, 12) if is_table else nn.Conv2d(2, 12, 3, stride=3)
        return Tiny(nn.Sequential(trunk, nn.ReLU()), 12, 3)

    model = seeded(network)

    def split(n, first):
        x = torch.randn(n, *shape, generator=draw)
        return datasets.split(x, torch.arange(n) % 3, first)

    data = datasets.dataset(split(40, 0), split(8, 40), baseline=0.1)
    surrogate = RECIPE.fit(model, data, 0, Progress())
    task = Task(model=model, data=data, surrogate=surrogate, seed=0)
    return task, Query(x=data.test.x[:5], target=torch.arange(5) % 3, sample=data.test.sample[:5])


@pytest.mark.parametrize("rank", ["similarity", "contribution"])
def test_neighbours_are_the_strongest_rows(asked, method, rank):
    task, query = asked
    examples = method("gpex_neighbours", k=4, rank=rank).explain(task, query)
    strength = getattr(task.surrogate, rank)(query.x, query.target)
    assert torch.equal(examples.weight, strength.topk(4, dim=1).values)
    assert torch.equal(strength.gather(1, examples.index), examples.weight)
    assert (examples.weight.diff(dim=1) <= 0).all()


def test_a_training_sample_is_its_own_first_neighbour(asked, method):
    task, query = asked
    own = Query(x=task.data.train.x[:5], target=query.target, sample=task.data.train.sample[:5])
    assert method("gpex_neighbours").explain(task, own).index[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_attributions_sum_to_the_posterior_mean(asked, method):
    """Images: mean minus prior mean. Tables: mean at x minus mean at the baseline, to the error of
    the quadrature.
    """
    task, query = asked
    values = method("gpex_attribution", n_steps=200).explain(task, query).values
    assert values.shape == query.x.shape
    head = query.target[:, None]
    mean = task.surrogate.posterior(query.x).mean.gather(1, head)[:, 0]
    if task.data.is_image:
        below, tolerance = task.surrogate.offset(query.target), 1e-5
        assert torch.equal(values[:, 0], values[:, 1])
    else:
        baseline = task.data.baseline.expand_as(query.x)
        below, tolerance = task.surrogate.posterior(baseline).mean.gather(1, head)[:, 0], QUADRATURE
    total = values.double().flatten(1).sum(1)
    scale = 1 + values.abs().flatten(1).sum(1)
    assert ((total - (mean - below)).abs() <= tolerance * scale).all()
    assert (total.abs() > 1e-3).all()


def test_rows_do_not_depend_on_their_company(asked, method):
    task, query = asked
    for explainer in (method("gpex_attribution"), method("gpex_neighbours")):
        together = explainer.explain(task, query)
        alone = explainer.explain(task, query.rows(slice(2, 3)))
        name = "values" if hasattr(together, "values") else "weight"
        torch.testing.assert_close(
            getattr(together, name)[2:3], getattr(alone, name), rtol=1e-4, atol=1e-5
        )


def test_messages_say_what_to_do(asked, method):
    task, query = asked
    bare = Task(model=task.model, data=task.data, surrogate=None, seed=0)
    for name in ("gpex_neighbours", "gpex_attribution"):
        with pytest.raises(
            ValueError, match=f"{name} needs the surrogate 'other', got none; list it in the config"
        ):
            method(name, surrogate="other").explain(bare, query)
    with pytest.raises(ValueError, match="k must be at most the 40 training samples, got 41"):
        method("gpex_neighbours", k=41).explain(task, query)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        method("gpex_neighbours", k=0)
    with pytest.raises(ValueError, match="n_steps must be at least 2, got 1"):
        method("gpex_attribution", n_steps=1)
    with pytest.raises(ValueError, match="rank must be 'similarity' or 'contribution', got 'size'"):
        method("gpex_neighbours", rank="size")

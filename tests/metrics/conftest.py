from dataclasses import dataclass

import numpy as np
import pytest
import torch

from gpex_bench.types import (
    Attribution,
    Case,
    Examples,
    Explainer,
    Query,
    Retrained,
    Split,
    Task,
    Truth,
    settings,
)
from tests.vocabulary import datasets
from tests.vocabulary.networks import Linear


@settings
class GradientTimesInput(Explainer):
    """Exact on a linear network; changes with the input."""

    reference = "none"
    kind = "gradient"
    relative_to = "nothing"

    def explain(self, task, query):
        x = query.x.clone().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(
                task.model(x).gather(1, query.target[:, None]).sum(), x
            )
        return Attribution(values=gradient * (query.x - task.data.baseline))


class Lazy(dict):
    """What is measured of a case: everything that is asked for, when it is asked for."""

    def __init__(self, case):
        self.case = case

    def __contains__(self, measurement):
        return True

    def __missing__(self, measurement):
        self[measurement] = measurement.measure(self.case)
        return self[measurement]


def lazily(**fields):
    return Case(**fields, measured=Lazy(Case(**fields)))


@dataclass
class Toy:
    """A linear network on images of two channels, with planted truth; makes cases of it."""

    task: Task
    query: Query
    exact: torch.Tensor

    def case(self, values, rows=None, explainer=None):
        rows = torch.arange(len(self.query.x)) if rows is None else rows
        query = self.query.rows(rows)
        residual = (self.exact - values)[rows].flatten(1).sum(1)
        explanation = Attribution(values=values[rows], residual=residual)
        explainer = explainer or GradientTimesInput()
        return lazily(
            task=self.task,
            query=query,
            explanation=explanation,
            explainer=explainer,
            retrained=tuple(self.retrained(values, rows, number) for number in (1, 2)),
        )

    def retrained(self, values, rows, number):
        """Maps of the same size whose order is another one."""
        query = self.query.rows(rows)
        shuffled = values.roll(number, -1)[rows]
        explanation = Attribution(values=shuffled)
        return Retrained(sample=query.sample, target=query.target, explanation=explanation)

    def examples(self, index, weight=None):
        weight = torch.ones(index.shape) if weight is None else weight
        explanation = Examples(index=index, weight=weight)
        return lazily(
            task=self.task,
            query=self.query,
            explanation=explanation,
            explainer=GradientTimesInput(),
        )


@pytest.fixture
def toy():
    generator = torch.Generator().manual_seed(0)
    n, shape = 12, (2, 8, 8)
    x = torch.rand(n, *shape, generator=generator)
    y = torch.arange(n) % 3
    mask = torch.zeros(n, *shape, dtype=torch.bool)
    mask[:, :, 2:6, 1:5] = True
    truth = Truth(mask=mask, train_group=torch.arange(30) % 6, test_group=torch.arange(n) % 6)
    train = torch.rand(30, *shape, generator=generator)
    data = datasets.dataset(
        datasets.split(train, torch.arange(30) % 3),
        Split(x=x, y=y, sample=100 + torch.arange(n).flip(0)),
        baseline=0.25,
        truth=truth,
    )
    model = Linear(torch.randn(3, 128, generator=generator) / 8).eval()
    task = Task(model=model, data=data, surrogate=None, seed=7)
    query = Query(x=x, target=y, sample=data.test.sample)
    return Toy(task=task, query=query, exact=GradientTimesInput().explain(task, query).values)


@dataclass
class Golden:
    """The recipe of the published golden values: numpy seed 0, four 8 x 8 images, a linear network
    without bias.
    """

    x: np.ndarray
    weight: np.ndarray
    target: np.ndarray
    exact: np.ndarray
    noisy: np.ndarray


@pytest.fixture
def golden():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(4, 1, 8, 8)).astype(np.float32)
    weight = rng.normal(size=(3, 64)).astype(np.float32)
    target = np.array([0, 1, 2, 0])
    exact = (weight[target] * x.reshape(4, -1)).reshape(x.shape)
    noisy = exact + rng.normal(0, 0.5, size=exact.shape).astype(np.float32)
    return Golden(x, weight, target, exact, noisy)

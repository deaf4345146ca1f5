"""Small networks with known explanations, and tasks around them, as fixtures."""

import pytest
import torch
from torch import Tensor, nn

from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Dataset, Model, Query, Split, Task


class Formula(Model):
    """A network whose logits are any function of its input."""

    def __init__(self, formula, n_heads: int) -> None:
        super().__init__()
        self.formula = formula
        self.head = nn.Linear(n_heads, n_heads, bias=False)
        self.head.weight.data = torch.eye(n_heads)

    def embed(self, x: Tensor) -> Tensor:
        return self.formula(x)


class Layers(Model):
    """A trunk of modules and a head."""

    def __init__(self, trunk: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def embed(self, x: Tensor) -> Tensor:
        return self.trunk(x)


def _split(x: Tensor, first: int) -> Split:
    return Split(x=x, y=torch.zeros(len(x), dtype=torch.int64), sample=first + torch.arange(len(x)))


def _task(model, x, baseline=None, train=None, seed=3):
    train = x if train is None else train
    data = Dataset(
        name="known",
        train=_split(train, 0),
        test=_split(x, len(train)),
        classes=("a", "b", "c"),
        features=(),
        baseline=torch.zeros_like(x[0]) if baseline is None else baseline,
    )
    return Task(model=model.eval(), data=data, surrogate=None, seed=seed)


def _query(x, target=0, first=10):
    targets = target if isinstance(target, Tensor) else torch.full((len(x),), target)
    return Query(x=x, target=targets, sample=first + torch.arange(len(x)))


@pytest.fixture
def formula():
    return Formula


@pytest.fixture
def layers():
    return Layers


@pytest.fixture
def task():
    """The task whose test split is x."""
    return _task


@pytest.fixture
def query():
    """A query for one head, or for one head per row."""
    return _query


@pytest.fixture
def method():
    """An explainer by name."""

    def build(name, **parameters):
        plugin = plugins("method")[name]
        assert plugin.cls is not None, plugin.reason
        return plugin.cls(**parameters)

    return build


@pytest.fixture
def normal():
    """Normal numbers from a generator of their own."""
    return lambda *shape, seed=0: torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

"""Small networks with known explanations, and tasks around them, as fixtures."""

import pytest
import torch

from gpex_bench.plugins.registry import plugins
from tests.vocabulary import datasets, networks


def _task(model, x, baseline=0.0, train=None, seed=3):
    train = x if train is None else train
    data = datasets.dataset(train, x, baseline=baseline, name="known")
    return datasets.task_of(model.eval(), data, seed)


def _query(x, target=0, first=10):
    return datasets.query(x, target, first)


@pytest.fixture
def formula():
    return networks.Formula


@pytest.fixture
def layers():
    return networks.Layers


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

"""Small networks and datasets for the tests of surrogates; no global random state is used."""

from functools import cache
from types import SimpleNamespace

import jaxtyping
import pytest
import torch
from torch import nn

from gpex_bench.types import Progress
from tests.vocabulary import datasets
from tests.vocabulary.networks import Tiny, seeded


def dataset(shape, n_train=120, n_test=40, classes=3):
    """Samples are mixtures of five patterns, so that a few of them tell about the others."""
    draw = torch.Generator().manual_seed(3)
    patterns = torch.randn(5, *shape, generator=draw)
    train, test = (
        torch.tensordot(torch.randn(n, 5, generator=draw), patterns, 1) for n in (n_train, n_test)
    )
    labels = [torch.arange(n) % classes for n in (n_train, n_test)]
    splits = [datasets.split(x, y, first=100) for x, y in zip((train, test), labels, strict=True)]
    return datasets.dataset(*splits, classes=classes)


def table():
    data = dataset((6,))
    return seeded(lambda: Tiny(nn.Sequential(nn.Linear(6, 32), nn.ReLU()), 32, 3)), data


def images():
    def trunk():
        layers = (nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(4))
        return Tiny(nn.Sequential(*layers), 8, 3)

    return seeded(trunk), dataset((2, 12, 12))


class Heard(Progress):
    """Keeps the lines."""

    def __init__(self):
        self.lines = []

    def __call__(self, text):
        self.lines.append(text)


class Looking(Tiny):
    """A network whose explained outputs are an attention map of 3 x 3 places."""

    def __init__(self):
        super().__init__(
            nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4)), 8, 3
        )
        self.attend = nn.Sequential(nn.Conv2d(8, 12, 1), nn.ReLU(), nn.Conv2d(12, 1, 1))

    def explained(self, x):
        return self.attend(self.trunk(x)).flatten(1)

    def explained_features(self, x):
        return self.attend[:-1](self.trunk(x)).flatten(2).mT

    def grid(self, x):
        return 3, 3


def attention():
    return seeded(Looking), dataset((2, 12, 12))


@pytest.fixture(scope="session")
def tiny():
    """What to build small problems from.

    PROBLEMS maps a name to a function that gives (network, dataset).
    """
    problems = {"table": table, "images": images, "attention": attention}
    return SimpleNamespace(
        Tiny=Tiny,
        seeded=seeded,
        dataset=dataset,
        table=table,
        images=images,
        attention=attention,
        Heard=Heard,
        PROBLEMS=problems,
    )


@pytest.fixture(scope="session")
def fitted(tiny):
    """(network, dataset, surrogate) of a problem, fitted once per recipe."""

    @cache
    def fit(name, recipe):
        model, data = tiny.PROBLEMS[name]()
        return model, data, recipe.fit(model, data, 1, Progress())

    return fit


@pytest.fixture
def unchecked():
    """Switch the checks of annotations off, as they are in use.

    What must be refused then is refused by our code.
    """
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)

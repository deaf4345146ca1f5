"""A dataset of two blobs among three, and networks that need no training."""

from types import SimpleNamespace

import jaxtyping
import pytest
import torch
from torch import nn

from gpex_bench.types import Dataset, Model, Split


class Linear(Model):
    """The input is the embedding."""

    def __init__(self, width=2, n_heads=2):
        super().__init__()
        self.head = nn.Linear(width, n_heads)

    def embed(self, x):
        return x


def blobs(n_train=60, n_test=30):
    """Three classes around (-2, 0), (2, 0) and (0, 5), in turn."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.tensor([[-2.0, 0.0], [2.0, 0.0], [0.0, 5.0]])

    def split(n, first):
        y = torch.arange(n) % 3
        return Split(
            x=centres[y] + torch.randn(n, 2, generator=draw), y=y, sample=first + torch.arange(n)
        )

    return Dataset(
        name="blobs",
        train=split(n_train, 0),
        test=split(n_test, n_train),
        classes=("left", "right", "top"),
        features=("u", "v"),
        baseline=torch.zeros(2),
    )


def fixed(weight):
    """A network with this head."""
    model = Linear(*torch.tensor(weight).T.shape)
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor(weight))
        model.head.bias.zero_()
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def made():
    return SimpleNamespace(blobs=blobs, fixed=fixed, Linear=Linear)


@pytest.fixture
def unchecked():
    """Switch the checks of annotations off, so that our own messages are seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)

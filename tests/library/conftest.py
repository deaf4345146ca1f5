"""Networks and data as people bring them."""

import numpy as np
import pytest
import torch
from torch import nn

import gpex_bench as gb


def seeded(make, seed=0):
    """Return a module whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def mlp(n_outputs=3, n_columns=6):
    return nn.Sequential(nn.Linear(n_columns, 16), nn.ReLU(), nn.Linear(16, n_outputs))


def cnn(n_outputs=3):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, n_outputs),
    )


@pytest.fixture(scope="session")
def table():
    """A table of three classes; the arrays that it is made of are float64."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(90, 6))
    y = np.digitize(x[:, 0] + x[:, 1], [-0.5, 0.5])
    return gb.arrays(x[:60], y[:60], x[60:], y[60:], classes=["low", "middle", "high"])


@pytest.fixture(scope="session")
def pictures():
    """Colour images of two classes, 16 x 16."""
    draw = np.random.default_rng(1)
    x = draw.random((30, 3, 16, 16))
    y = np.arange(30) % 3
    return gb.arrays(x[:20], y[:20], x[20:], y[20:], baseline="zero")


@pytest.fixture(scope="session")
def on_table():
    return seeded(mlp)


@pytest.fixture(scope="session")
def on_images():
    return seeded(cnn)

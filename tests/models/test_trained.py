"""Networks learn what they should, from where they should.

Small runs; the default run reports the full accuracies.
"""

from dataclasses import replace

import pytest
import torch

from gpex_bench.data.breast_cancer import BreastCancer
from gpex_bench.data.mnist5k import Mnist5k
from gpex_bench.data.painted import scenes
from gpex_bench.data.shapes import Shapes
from gpex_bench.models.cnn import Cnn, CnnTraining
from gpex_bench.models.mlp import Mlp
from gpex_bench.models.resnet import Resnet
from gpex_bench.models.training.loop import ZooTraining, accuracy

SOURCE = Shapes(n_test=400)


def silent(line: str) -> None:
    """Take a line of progress."""


def chances(model, x, y):
    """Return the probability of the label."""
    return model(x).softmax(dim=1).gather(1, y[:, None])[:, 0]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_table_is_learned(seed):
    data = BreastCancer().load()
    model = Mlp().train(data, seed, silent)
    assert accuracy(model, data.test.x, data.test.y) >= 0.95


@pytest.mark.slow
def test_digits_are_learned():
    data = Mnist5k().load()
    model = Cnn(training=CnnTraining(epochs=4)).train(data, 1, silent)
    assert accuracy(model, data.test.x, data.test.y) >= 0.93


@pytest.mark.slow
def test_network_on_shapes_relies_on_the_part_alone():
    data = SOURCE.load()
    x, y = data.test.x, data.test.y
    model = Resnet().train(data, 1, silent)
    distractor = torch.from_numpy(scenes.dilate(scenes.cover(SOURCE.draw("test"), 1)))[:, None]
    intact = chances(model, x, y)
    no_part = chances(model, torch.where(data.truth.mask, data.baseline, x), y)
    no_distractor = chances(model, torch.where(distractor, data.baseline, x), y)
    only_part = chances(model, torch.where(data.truth.mask, x, data.baseline), y)
    assert accuracy(model, x, y) >= 0.95
    assert (intact - no_part).mean() > 0.5
    for label in range(4):  # no class stands for "nothing there"
        assert (intact - no_part)[y == label].mean() > 0.25
    assert abs(intact - no_distractor).mean() < 0.1
    assert abs(intact - only_part).mean() < 0.15


@pytest.mark.slow
def test_network_takes_the_shortcut_where_there_is_one():
    marked = replace(SOURCE, shortcut=1.0).load()
    model = Resnet(training=ZooTraining(epochs=4, occluded=0.0)).train(marked, 1, silent)
    assert accuracy(model, marked.test.x, marked.test.y) > 0.95
    corner = torch.zeros(32, 32, dtype=torch.bool)
    corner[: scenes.PATCH, : scenes.PATCH] = True
    hidden = torch.where(corner, marked.baseline, marked.test.x)
    assert accuracy(model, hidden, marked.test.y) < 0.5

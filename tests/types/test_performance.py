"""How well a network does, against scikit-learn."""

import math

import pytest
import torch
from sklearn import metrics

from gpex_bench.types import Kind
from gpex_bench.types.performance import performance


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_numbers():
    y, f = 50 + 10 * normal(40), 50 + 10 * normal(40, 1, seed=1)
    found = performance(f, y, Kind.NUMBER)
    assert list(found) == ["r2", "mae"]
    assert found["r2"] == pytest.approx(metrics.r2_score(y.double(), f[:, 0].double()))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(y.double(), f[:, 0].double()))
    assert math.isnan(performance(f, torch.full((40,), 3.0), Kind.NUMBER)["r2"])


def test_labels():
    outputs, y = normal(50, 4), (normal(50, 4, seed=1) > 0.8).long()
    y[:, 3], outputs[:, 3] = 0, -1  # neither there nor predicted
    found = performance(outputs, y, Kind.LABELS)
    predicted = (outputs.sigmoid() > 0.5).long()
    assert found["label_accuracy"] == pytest.approx(1 - metrics.hamming_loss(y, predicted))
    f1 = metrics.f1_score(y, predicted, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(f1)


def test_classes_and_one_logit():
    outputs, y = normal(50, 3), torch.arange(50) % 3
    expected = metrics.accuracy_score(y, outputs.softmax(1).argmax(1))
    assert performance(outputs, y, Kind.CLASSES) == {"accuracy": pytest.approx(expected)}
    one, y = outputs[:, :1], torch.arange(50) % 2
    expected = metrics.accuracy_score(y, one[:, 0].sigmoid() > 0.5)
    assert performance(one, y, Kind.CLASSES) == {"accuracy": pytest.approx(expected)}

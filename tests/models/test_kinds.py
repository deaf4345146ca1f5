"""Networks with one logit, for labels and for a number: what they learn, and in which units."""

from dataclasses import replace

import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import log_loss
from torch import nn

from gpex_bench.models.mlp import Mlp, MlpTraining
from gpex_bench.models.training import loop, losses
from gpex_bench.plugins.registry import plugins
from gpex_bench.stages.train import train
from gpex_bench.types import Kind, Need
from tests.vocabulary import datasets
from tests.vocabulary.networks import Layers

QUICK = MlpTraining(epochs=20, batch_size=16, occluded=0.0, learning_rate=0.01)
SMALL = Mlp(wide=16, training=QUICK)


def silent(line: str) -> None:
    """Take a line of progress."""


def made(target, kind, classes, n=400):
    """Return a dataset of six columns whose targets are a function of them."""
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(0))
    y, cut = target(x), 3 * n // 4
    for_training = datasets.split(x[:cut], y[:cut])
    for_test = datasets.split(x[cut:], y[cut:], first=cut)
    return replace(datasets.dataset(for_training, for_test), kind=kind, classes=classes)


def binary():
    return made(lambda x: (x[:, 0] > 0).long(), Kind.CLASSES, ("minus", "plus"))


def labels():
    return made(lambda x: (x[:, :3] > 0).long(), Kind.LABELS, ("a", "b", "c"))


def number(factor=1.0, offset=0.0):
    return made(lambda x: factor * (x[:, 0] - 2 * x[:, 1]) + offset, Kind.NUMBER, ("length",))


def test_one_logit_learns_two_classes():
    model, reached = train(replace(SMALL, one_logit=True), binary(), 1, silent)
    assert model.head.out_features == 1
    assert reached["test_accuracy"] > 0.9
    x, y = binary().test.x, binary().test.y
    assert loop.accuracy(model, x, y) == pytest.approx(reached["test_accuracy"])


def test_labels_are_learned_side_by_side():
    lines = []
    model, reached = train(SMALL, labels(), 1, lines.append)
    assert model.head.out_features == 3
    assert reached["test_label_accuracy"] > 0.9 and reached["test_macro_f1"] > 0.9
    assert "training accuracy per label" in lines[-1]


def test_a_number_is_learned_as_well_as_by_linear_regression():
    lines, data = [], number(factor=40, offset=150)
    model, reached = train(SMALL, data, 1, lines.append)
    assert model.head.out_features == 1
    assert reached["test_r2"] > 0.97 and reached["test_mae"] < 10
    assert "training R² 0.9" in lines[-1]
    linear = LinearRegression().fit(data.train.x, data.train.y)
    expected = torch.from_numpy(linear.predict(data.test.x))
    with torch.no_grad():
        found = model(data.test.x)[:, 0]
    assert float((found - expected).abs().mean()) < 10


@pytest.mark.parametrize("factor, offset", [(1e6, 5e6), (1e-6, 0.0), (-3.0, 100.0)])
def test_a_number_in_other_units_gives_the_same_network_in_those_units(factor, offset):
    plain = SMALL.train(number(), 1, silent)
    other = SMALL.train(number(factor, offset), 1, silent)
    x = number().test.x
    if factor > 0:
        torch.testing.assert_close(
            other(x), factor * plain(x) + offset, rtol=1e-3, atol=0.01 * factor
        )
    y = number(factor, offset).test.y
    assert float((other(x)[:, 0] - y).abs().mean()) < 0.3 * abs(factor)


TRAINED = sorted(name for name, plugin in plugins("model").items() if not plugin.cls.is_given)


@pytest.mark.parametrize("name", TRAINED)
def test_every_architecture_has_the_heads_of_the_kind(name):
    cls = plugins("model")[name].cls
    shape = (6,) if Need.TABLE in cls.takes else (1, 28, 28)
    data = datasets.dataset(torch.rand(4, *shape), classes=2)
    kinds = {
        Kind.CLASSES: (data, {}, 2),
        "one logit": (data, {"one_logit": True}, 1),
        Kind.NUMBER: (replace(data, kind=Kind.NUMBER, classes=("length",)), {}, 1),
        Kind.LABELS: (replace(data, kind=Kind.LABELS, classes=("a", "b", "c")), {}, 3),
    }
    for own, settings, n_heads in kinds.values():
        with torch.random.fork_rng():
            assert cls(**settings).build(own).head.out_features == n_heads


def test_what_is_learned_by_hand():
    logits = torch.tensor([[2.0], [-1.0], [0.5]])
    y = torch.tensor([1, 1, 0])
    p = 1 / (1 + (-logits[:, 0]).exp())
    found = losses.loss(logits, y, Kind.CLASSES)
    assert float(found) == pytest.approx(log_loss(y, p.double()), rel=1e-6)
    pair = torch.cat([torch.zeros_like(logits), logits], 1)
    torch.testing.assert_close(found, losses.loss(pair, y, Kind.CLASSES))

    many, there = torch.cat([logits, -logits], 1), torch.stack([y, y], 1)
    single = [losses.loss(many[:, i : i + 1], y, Kind.CLASSES) for i in (0, 1)]
    torch.testing.assert_close(losses.loss(many, there, Kind.LABELS), sum(single) / 2)
    assert losses.success(many, there, Kind.LABELS).tolist() == [0.5, 0.5, 0.5]

    squared = losses.loss(logits, torch.tensor([1.0, 1.0, 1.0]), Kind.NUMBER)
    assert float(squared) == pytest.approx((1 + 4 + 0.25) / 3)


@pytest.mark.parametrize("data", [binary(), labels(), number()], ids=lambda data: data.kind.value)
def test_an_attack_raises_the_loss(data):
    architecture = replace(SMALL, one_logit=data.kind is Kind.CLASSES)
    model = architecture.train(data, 1, silent)
    x, y, box = data.test.x, data.test.y, loop.data_range(data)
    generator = torch.Generator().manual_seed(0)
    moved = loop.attack(
        model, x, y, kind=data.kind, radius=0.1, steps=4, box=box, generator=generator
    )
    before, after = (losses.loss(model(part), y, data.kind) for part in (x, moved))
    assert float(after) > float(before)


@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.LABELS])
def test_adversarial_training_of_other_kinds(kind):
    data = number(factor=1000) if kind is Kind.NUMBER else labels()
    how = replace(QUICK, adversarial=0.05, attack_steps=2)
    _, reached = train(replace(SMALL, training=how), data, 1, silent)
    assert next(value for name, value in reached.items() if name.startswith("test")) > 0.8


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(ValueError, match="train.y of 'toy' must be finite and vary"):
        SMALL.train(number(factor=0.0, offset=3.0), 1, silent)
    with pytest.raises(ValueError, match="one_logit must be False for 'toy'"):
        replace(SMALL, one_logit=True).train(labels(), 1, silent)
    network = Layers(nn.Linear(6, 4), nn.Linear(4, 1, bias=False))
    with pytest.raises(ValueError, match="head must have a bias"):
        loop.fit(network, number(), QUICK, 1, silent)

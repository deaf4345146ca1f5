"""Training as a result: a network that fails or breaks a promise leaves its reason."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from gpex_bench.contract import toys
from gpex_bench.stages.train import train_and_store
from gpex_bench.types import Architecture, Model, Need

TABLE = toys.dataset("table")


class Net(Model):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Linear(8, 4)
        self.head = nn.Linear(4, 3)
        self.shift = 0.0

    def embed(self, x):
        return self.trunk(x) + self.shift


class Dropping(Net):
    def embed(self, x):
        return functional.dropout(self.trunk(x))


class Tied(Net):
    """Two names of one tensor."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.same = self.head


class Detached(Net):
    def embed(self, x):
        return self.trunk(x.detach())


class Given(Architecture):
    """A network that is taken as it is."""

    takes = frozenset({Need.TABLE})

    def __init__(self, network, change=lambda model: None):
        self.network, self.change = network, change

    def build(self, data):
        return self.network()

    def train(self, data, seed, progress):
        model = self.network()
        self.change(model)
        return model.eval()


def shift(model):
    model.shift = 5.0


def fail(model):
    raise ZeroDivisionError("the loss is 0")


def diverge(model):
    model.trunk.weight.data.fill_(torch.inf)


@pytest.mark.parametrize(
    "network, change, words",
    [
        (Dropping, lambda model: None, "no random numbers in forward"),
        (Net, shift, "the state is the artefact"),
        (Net, fail, "ZeroDivisionError: the loss is 0"),
        (Net, diverge, "finite values"),
    ],
)
def test_a_network_that_cannot_be_used_is_a_result(network, change, words):
    stored = []
    outcome = train_and_store(
        Given(network, change), TABLE, 1, progress=print, store=lambda *parts: stored.append(parts)
    )
    assert outcome.status == "failed"
    assert words in outcome.reason


def test_a_network_without_a_gradient_does_not_offer_it(tmp_path):
    def made(network):
        return train_and_store(
            Given(network), TABLE, 1, progress=print, store=lambda state, note: None
        )

    assert made(Net).value.withdrawn == {}
    withdrawn = made(Detached).value.withdrawn
    assert Need.GRADIENT in withdrawn
    assert 0 <= made(Net).value.reached["test_accuracy"] <= 1


def large(model):
    model.trunk.weight.data.mul_(100)


class Peeking(Net):
    """Reads its values outside of torch."""

    def embed(self, x):
        return self.trunk(x) * float(x.detach().numpy().sum() * 0 + 1)


def test_modules_are_offered_only_if_the_network_can_be_rewritten():
    kept = train_and_store(
        Given(Net), TABLE, 1, progress=print, store=lambda state, note: None
    ).value
    assert kept.withdrawn == {}
    assert "outputs differ by" in kept.rewriting

    lost = train_and_store(
        Given(Peeking), TABLE, 1, progress=print, store=lambda state, note: None
    ).value
    assert set(lost.withdrawn) == {Need.MODULES}
    assert lost.rewriting == ""


def test_outputs_are_looked_at_on_every_row():
    data = replace(TABLE, train=replace(TABLE.train, x=TABLE.train.x * 2.5e38))
    outcome = train_and_store(
        Given(Net, large), data, 1, progress=print, store=lambda state, note: None
    )
    assert outcome.status == "failed"
    assert "of 24 rows of the train split are NaN or infinite" in outcome.reason


def test_no_network_is_trained_without_samples_of_every_class():
    """One that is given knows its classes."""
    keep = TABLE.train.y != 2
    train = replace(
        TABLE.train,
        **{name: getattr(TABLE.train, name)[keep] for name in ("x", "y", "sample")},
    )
    data = replace(TABLE, train=train, truth=None)

    outcome = train_and_store(
        Given(Net), data, 0, progress=lambda line: None, store=lambda tensors, note: None
    )
    assert outcome.status == "failed"
    assert "train has no sample of the classes 2" in outcome.reason

    brought = type("Brought", (Given,), {"is_given": True})(Net)
    outcome = train_and_store(
        brought, data, 0, progress=lambda line: None, store=lambda tensors, note: None
    )
    assert "no sample" not in outcome.reason

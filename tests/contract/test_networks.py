"""A network that breaks a promise is refused once, by name and place; an honest one passes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gpex_bench.contract import toys
from gpex_bench.contract.networks import check_network, check_stored
from gpex_bench.contract.promises import BrokenPromise
from gpex_bench.models.given.offered import without_gradient
from gpex_bench.types import Kind, Model
from gpex_bench.types.outputs import n_outputs

TABLE = toys.dataset("table")
IMAGES = toys.dataset("grey images")


class Net(Model):
    """A small network on tables; subclasses break one promise each."""

    def __init__(self, n_outputs=3, width=8):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.trunk = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width))
            self.head = nn.Linear(width, n_outputs)

    def embed(self, x):
        return self.trunk(x)


class Dropping(nn.Module):
    def forward(self, x):
        return functional.dropout(x)


class StrayDropout(Net):
    def __init__(self):
        super().__init__()
        self.trunk[1] = Dropping()


class DropoutAtTheTop(Net):
    def embed(self, x):
        return functional.dropout(self.trunk(x))


class Noisy(Net):
    def embed(self, x):
        return self.trunk(x) + torch.from_numpy(np.random.rand(1)).float()


class Counting(Net):
    calls = 0

    def embed(self, x):
        self.calls += 1
        return self.trunk(x) + self.calls


class Normalised(Net):
    def __init__(self):
        super().__init__()
        self.trunk[1] = nn.BatchNorm1d(8, track_running_stats=False)


class OverTheBatch(Net):
    def embed(self, x):
        return self.trunk(x) - self.trunk(x).mean(0)


class TinyOverTheBatch(OverTheBatch):
    """Its outputs are small: batches change them by less than 1e-4, and by more than 1 %."""

    def embed(self, x):
        return 3e-4 * super().embed(x)

    def __init__(self):
        super().__init__()
        self.head.bias.data.zero_()


class InPlace(Net):
    def embed(self, x):
        return self.trunk(x.mul_(2))


class Buffered(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def embed(self, x):
        self.seen += 1
        return self.trunk(x)


class Crooked(Net):
    def forward(self, x):
        return self.head(self.embed(x)) + 1


class Squeezed(Net):
    def forward(self, x):
        return super().forward(x)[:, 0]


class Diverged(Net):
    def __init__(self):
        super().__init__()
        self.trunk[0].weight.data[0, 0] = torch.nan


class Crashing(Net):
    def embed(self, x):
        return self.trunk(x.flatten(0))


class StaysInTrainMode(Net):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout()
        self.drop.eval = lambda: self.drop
        self.drop.train = lambda mode=True: self.drop


BROKEN = [
    ("no random numbers in forward", r"trunk\.1 \(Dropping\) draws some", StrayDropout),
    ("no random numbers in forward", r"the network itself \(DropoutAtTheTop\)", DropoutAtTheTop),
    ("global random state untouched", "generator of numpy has moved; forward must", Noisy),
    ("same call, same bits", "differs by", Counting),
    ("rows do not influence one another", r"trunk\.1 \(BatchNorm1d\) has no running", Normalised),
    ("rows do not influence one another", "change by .* when it is alone", OverTheBatch),
    ("rows do not influence one another", "change by .* when it is alone", TinyOverTheBatch),
    ("inputs untouched", "forward changes its input in place", InPlace),
    ("weights untouched", r"model\.seen has changed", Buffered),
    ("forward = head(embed(x))", "the two differ", Crooked),
    ("shape", r"forward\(x\) must have shape \(6, 3\), got \(6,\)", Squeezed),
    ("finite values", r"entries of forward\(x\) are NaN", Diverged),
    ("forward works", r"RuntimeError on inputs of shape \(6, 8\)", Crashing),
    ("forward works", r"The weights are torch\.float64; call float\(\)", lambda: Net().double()),
    ("head", "3 outputs, one for each class, got Linear.*out_features=2", lambda: Net(2)),
    ("eval mode", "drop is in train mode after eval", StaysInTrainMode),
]


@pytest.mark.parametrize("promise, words, make", BROKEN)
def test_a_broken_promise_is_named_with_its_place(promise, words, make):
    before = torch.get_rng_state(), TABLE.test.x.clone()
    with pytest.raises(BrokenPromise, match=words) as caught:
        check_network(make().eval(), replace(TABLE, test=copy(TABLE.test)), 3)
    assert caught.value.promise == promise
    assert torch.equal(before[0], torch.get_rng_state())
    assert torch.equal(before[1], TABLE.test.x)


def copy(split):
    """Return a split of its own inputs, which a network may spoil."""
    return replace(split, x=split.x.clone())


def test_honest_networks_pass():
    check_network(Net().eval(), TABLE, 3)
    for kind, task, _ in toys.tasks(toys.Smooth):
        check_network(task.model, toys.dataset(kind), toys.N_CLASSES)


@pytest.mark.parametrize(
    "kind, classes, one_logit, n_heads, words",
    [
        (Kind.CLASSES, ("a", "b", "c"), False, 3, "3 outputs, one for each class"),
        (Kind.CLASSES, ("a", "b"), False, 2, "2 outputs, one for each class"),
        (Kind.CLASSES, ("a", "b"), True, 1, "1 outputs, that of the second class"),
        (Kind.LABELS, ("a", "b"), False, 2, "2 outputs, one for each label"),
        (Kind.NUMBER, ("size",), False, 1, "1 outputs, the number"),
    ],
)
def test_the_head_fits_what_is_asked(kind, classes, one_logit, n_heads, words):
    data = replace(TABLE, kind=kind, classes=classes, truth=None)
    assert n_outputs(data, one_logit) == n_heads
    check_network(Net(n_heads).eval(), data, n_heads)
    for n in {1, 2, 3, 4} - {n_heads}:
        with pytest.raises(BrokenPromise, match=f"{words}.*out_features={n}"):
            check_network(Net(n).eval(), data, n_heads)


def test_a_network_is_all_in_its_state():
    trained = Net().eval()
    trained.trunk[0].weight.data += 1
    twin = Net().eval()
    with pytest.raises(BrokenPromise, match="built again from its state_dict"):
        check_stored(trained, twin, TABLE)
    twin.load_state_dict(trained.state_dict())
    check_stored(trained, twin, TABLE)


class Rounded(Net):
    def embed(self, x):
        return self.trunk(x.detach())


class Rooted(Net):
    def embed(self, x):
        return self.trunk((0 * x).sqrt())


@pytest.mark.parametrize(
    "make, words",
    [(Net, None), (Rounded, "no gradient|fails"), (Rooted, "NaN or infinite")],
)
def test_a_gradient_that_is_missing_is_explained(make, words):
    found = without_gradient(make().eval(), TABLE.test.x)
    if words is None:
        assert found is None
    else:
        assert any(word in found for word in words.split("|"))

"""Networks as people write them: what is found in them, and outputs that stay their own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gpex_bench.models.given.errors import CannotWrap
from gpex_bench.models.given.preparing import prepared
from gpex_bench.models.given.wrapping import wrap
from gpex_bench.types import Kind, Need
from tests.vocabulary.networks import Written, ready

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.rand(5, 3, 16, 16, generator=GENERATOR)
TABLE = torch.rand(5, 6, generator=GENERATOR)
SERIES = torch.rand(5, 7, 6, generator=GENERATOR)


class Block(nn.Module):
    """A residual block with a functional ReLU, an addition in place and a shortcut by a lambda."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        pad = (n_out - n_in) // 2
        self.shortcut = lambda x: F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, pad, pad))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class Cifar(nn.Module):
    """A small residual network as others write them for CIFAR-10."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(Block(8, 8, 1), Block(8, 8, 1))
        self.layer2 = nn.Sequential(Block(8, 16, 2), Block(16, 16, 1))
        self.linear = nn.Linear(16, 10)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer2(self.layer1(out))
        out = F.avg_pool2d(out, out.size()[3])
        return self.linear(out.view(out.size(0), -1))


def body():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU())


def mlp(*last, n_outputs=3):
    return ready(nn.Sequential(body(), nn.Linear(8, n_outputs), *last))


def written(forward, n_outputs=3, **modules):
    """Return a network with a body `b`, a head `h` and a forward of its own."""
    return ready(Written(forward, b=body(), h=nn.Linear(8, n_outputs), **modules))


def z(network, x):
    """Return the logits of a network with a body and a head."""
    return network.h(network.b(x))


class Functional(nn.Module):
    """A head that is a function, and a second name of a module."""

    def __init__(self):
        super().__init__()
        self.b = body()
        self.weight = nn.Parameter(torch.zeros(3, 8))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return F.linear(self.b(x), self.weight, self.bias)


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(6, 9, batch_first=True)
        self.fc = nn.Linear(9, 4)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])


class Shared(nn.Module):
    """A network with a second name for its last layer."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(body(), nn.Linear(8, 3))
        self.head = self.net[1]

    def forward(self, x):
        return self.net(x)


class Output:
    """What some libraries return."""

    def __init__(self, logits):
        self.logits = logits
        self.hidden_states = (logits,)


# network, inputs, name of the head ("": an identity), and what its outputs are made of the logits
KNOWN = {
    "sequential": (lambda: mlp(), TABLE, "1", None),
    "functional head": (lambda: ready(Functional()), TABLE, "weight", None),
    "two names": (lambda: ready(Shared()), TABLE, "net.1", None),
    "by keyword": (lambda: written(lambda s, x: s.h(input=s.b(x))), TABLE, "h", None),
    "head called before": (
        lambda: ready(Written(lambda s, x: s.h(s.h(s.b(x)).relu()), b=body(), h=nn.Linear(8, 8))),
        TABLE,
        "h",
        None,
    ),
    "head called after": (
        lambda: written(lambda s, x: (z(s, x), s.h(2 * s.b(x)))[0]),
        TABLE,
        "",
        None,
    ),
    "softmax module": (lambda: mlp(nn.Softmax(1)), TABLE, "1", lambda v: v.softmax(1)),
    "softmax method": (
        lambda: written(lambda s, x: z(s, x).softmax(1)),
        TABLE,
        "h",
        lambda v: v.softmax(1),
    ),
    "log_softmax": (
        lambda: written(lambda s, x: F.log_softmax(z(s, x), 1)),
        TABLE,
        "h",
        lambda v: v.log_softmax(1),
    ),
    "exp of log_softmax": (
        lambda: written(lambda s, x: F.log_softmax(z(s, x), 1).exp()),
        TABLE,
        "h",
        lambda v: v.softmax(1),
    ),
    "sigmoid": (lambda: mlp(nn.Sigmoid(), n_outputs=1), TABLE, "1", torch.sigmoid),
    "softmax of no linear layer": (
        lambda: ready(
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1))
        ),
        IMAGES,
        "",
        lambda v: v.softmax(1),
    ),
    "one number": (
        lambda: written(lambda s, x: z(s, x).squeeze(-1), 1),
        TABLE,
        "h",
        lambda v: v[:, 0],
    ),
    "all axes squeezed": (
        lambda: written(lambda s, x: z(s, x).squeeze(), 1),
        TABLE,
        "h",
        lambda v: v[:, 0],
    ),
    "relu at the end": (lambda: mlp(nn.ReLU()), TABLE, "", None),
    "relu in place": (lambda: written(lambda s, x: z(s, x).relu_()), TABLE, "", None),
    "temperature": (lambda: written(lambda s, x: z(s, x) / 3), TABLE, "", None),
    "tuple of one": (lambda: written(lambda s, x: (z(s, x),)), TABLE, "h", lambda v: (v,)),
    "dictionary": (
        lambda: written(lambda s, x: {"logits": z(s, x), "x": x}),
        TABLE,
        "h",
        lambda v: {"logits": v},
    ),
    "object": (lambda: written(lambda s, x: Output(z(s, x))), TABLE, "h", Output),
    "1 x 1 convolution": (
        lambda: ready(
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 5, 1))
        ),
        IMAGES,
        "",
        lambda v: v[..., None, None],
    ),
    "lstm": (lambda: ready(Lstm()), SERIES, "fc", None),
    "flat image": (
        lambda: ready(nn.Sequential(nn.Flatten(), nn.Linear(768, 8), nn.ReLU(), nn.Linear(8, 3))),
        IMAGES,
        "3",
        None,
    ),
    "weight norm": (
        lambda: ready(
            nn.Sequential(body(), nn.utils.parametrizations.weight_norm(nn.Linear(8, 3)))
        ),
        TABLE,
        "1",
        None,
    ),
    "residual": (lambda: ready(Cifar()), IMAGES, "linear", None),
}


def same(made, network_made):
    """Require that what is made of the logits is what the network returned."""
    if isinstance(made, Output):
        made, network_made = made.logits, network_made.logits
    if isinstance(made, dict):
        made, network_made = made["logits"], network_made["logits"]
    if isinstance(made, tuple):
        (made,), (network_made,) = made, network_made
    torch.testing.assert_close(made, network_made, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("case", KNOWN)
def test_the_outputs_are_the_networks_own_and_linear_in_the_embedding(case):
    make, x, head, of_logits = KNOWN[case]
    network = make()
    with torch.no_grad():
        model = wrap(network, x)
        logits = model(x)
        assert torch.equal(logits, model.head(model.embed(x)))
        same((of_logits or (lambda v: v))(logits), network(x))
    assert model.found.head == head
    assert model.found.n_outputs == logits.shape[1]


@pytest.mark.parametrize("case", KNOWN)
def test_a_copy_and_a_network_with_its_state_give_the_same(case):
    make, x, _, _ = KNOWN[case]
    model = wrap(make(), x)
    other = wrap(ready(make(), seed=1), x)
    other.load_state_dict(model.state_dict())
    for twin in (copy.deepcopy(model), other):
        assert torch.equal(twin(x), model(x))
    torch.testing.assert_close(model(x[:1]), model(x)[:1])


@pytest.mark.parametrize("case", KNOWN)
def test_the_gradient_is_that_of_the_network(case):
    make, x, _, _ = KNOWN[case]
    model = wrap(make(), x)
    assert Need.GRADIENT not in model.found.withdrawn
    at = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(model(at).sum(), at)
    assert found.abs().sum() > 0


def test_the_network_stays_as_it_was():
    network = mlp().train()
    seen = []
    network[0].register_forward_hook(lambda *_: seen.append(1))
    before = copy.deepcopy(network.state_dict())
    model = wrap(network, TABLE)
    assert network.training
    assert not model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert len(network[0]._forward_hooks) == 1
    network[1].weight.data.zero_()
    assert model.head.weight.abs().sum() > 0
    assert any("forward hooks" in note for note in model.found.notes)


# --- maps -----------------------------------------------------------------------------------------


def test_the_trunk_ends_with_the_last_maps_and_its_copy_has_no_later_layer():
    network = ready(Cifar())
    model = wrap(network, IMAGES)
    maps = network.layer2(network.layer1(F.relu(network.bn1(network.conv1(IMAGES)))))
    assert model.found.features == "layer2"
    assert torch.equal(model.trunk(IMAGES), maps)

    copied = copy.deepcopy(model.trunk)
    assert torch.equal(copied(IMAGES), maps)
    every = sum(weight.numel() for weight in network.parameters())
    of_head = sum(weight.numel() for weight in network.linear.parameters())
    assert sum(weight.numel() for weight in copied.parameters()) == every - of_head


def two_branches(s, x):
    return s.h(torch.cat([s.a(x).mean((2, 3)), s.c(x).mean((2, 3))], 1))


def tokens(s, x):
    return s.h(s.l(s.c(x).flatten(2).mT).mean(1))


@pytest.mark.parametrize(
    "forward, modules, reason",
    [
        (two_branches, {"a": nn.Conv2d(3, 4, 3), "c": nn.Conv2d(3, 4, 5)}, "past the last ones"),
        (tokens, {"c": nn.Conv2d(3, 6, 4, 4), "l": nn.Linear(6, 8)}, "live on in l"),
        (lambda s, x: s.h(x.flatten(1)[:, :8]), {}, "no module gives"),
    ],
)
def test_maps_that_are_not_the_trunks_output_are_not_taken_for_it(forward, modules, reason):
    network = ready(Written(forward, h=nn.Linear(8, 3), **modules))
    model = wrap(network, IMAGES)
    assert model.found.features == ""
    assert reason in model.found.why_no_features
    assert torch.equal(model.trunk(IMAGES), model.embed(IMAGES))


def test_maps_can_be_said_and_a_wrong_name_lists_the_others():
    model = wrap(ready(Cifar()), IMAGES, features="layer1")
    assert model.trunk(IMAGES).shape == (5, 8, 16, 16)
    with pytest.raises(CannotWrap, match="got 'layer3'. Known: .*layer1, .*layer2"):
        wrap(ready(Cifar()), IMAGES, features="layer3")


def test_a_network_without_maps_or_a_linear_head_has_no_trunk():
    model = wrap(mlp(nn.ReLU()), TABLE)
    assert getattr(model, "trunk", None) is None


class OneRelu(nn.Module):
    """Its last maps are of an activation that has run before, on larger maps."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.relu = nn.ReLU6()
        self.linear = nn.Linear(8, 3)

    def forward(self, x):
        maps = self.relu(self.second(self.relu(self.first(x))))
        return self.linear(maps.mean((2, 3)))


def test_the_last_maps_may_be_those_of_an_activation_that_has_run_before():
    network = OneRelu()
    model = wrap(network, IMAGES)
    assert torch.equal(model(IMAGES), network(IMAGES))
    assert model.found.features == "relu"
    maps = network.second(network.first(IMAGES).clamp(0, 6)).clamp(0, 6)
    assert torch.equal(copy.deepcopy(model.trunk)(IMAGES), maps)


def past_the_last_run(s, x):
    first = s.c(x).relu()
    return s.h(torch.cat([first.mean((2, 3)), s.r(s.c(s.r(first))).mean((2, 3))], 1))


def test_a_way_past_the_last_run_of_a_module_is_seen():
    network = ready(
        Written(past_the_last_run, h=nn.Linear(6, 2), c=nn.Conv2d(3, 3, 3), r=nn.ReLU())
    )
    model = wrap(network, IMAGES)
    assert "past the last ones" in model.found.why_no_features


# --- settings -------------------------------------------------------------------------------------


def test_the_head_of_several_outputs_is_said():
    network = written(lambda s, x: (s.h(s.b(x)), s.o(s.b(x))), o=nn.Linear(8, 2))
    with pytest.raises(CannotWrap, match=r"0: a tensor \[4, 3\].*Linear layers: b.0, h, o"):
        wrap(network, TABLE)
    model = wrap(network, TABLE, head="o")
    assert torch.equal(model(TABLE), network(TABLE)[1])
    with pytest.raises(CannotWrap, match=r"got 'b': b \(Sequential\).*Known: b.0, h, o"):
        wrap(network, TABLE, head="b")


def test_normalisation_is_a_part_of_the_network():
    network = ready(Cifar())
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
    model = wrap(network, IMAGES, normalise={"mean": mean, "std": std})
    shape = (3, 1, 1)
    normal = (IMAGES - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    assert torch.equal(model(IMAGES), network(normal))
    assert not model.found.notes

    twice = wrap(network, normal, normalise={"mean": mean, "std": std})
    assert any("normalised already" in note for note in twice.found.notes)


@pytest.mark.parametrize(
    "normalise, words",
    [
        ({"mean": 0.5}, "mean and std"),
        ({"mean": [0.5, 0.5], "std": 1}, "each of the 3 channels"),
        ({"mean": 0, "std": [1, 0, 1]}, "std must be positive"),
        ({"mean": "grey", "std": 1}, "mean must be numbers"),
    ],
)
def test_a_normalisation_that_does_not_fit_is_refused_by_name(normalise, words):
    with pytest.raises(CannotWrap, match=words):
        wrap(ready(Cifar()), IMAGES, normalise=normalise)


def test_a_number_keeps_its_sigmoid():
    network = mlp(nn.Sigmoid(), n_outputs=1)
    model = wrap(network, TABLE, kind=Kind.NUMBER)
    assert torch.equal(model(TABLE), network(TABLE))
    with pytest.raises(CannotWrap, match="one output, and this one has 3"):
        wrap(mlp(), TABLE, kind=Kind.NUMBER)


# --- what is refused, or changed and said ---------------------------------------------------------


def own_softmax(s, x):
    e = z(s, x).exp()
    return e / e.sum(1, keepdim=True)


@pytest.mark.parametrize(
    "make, x, words",
    [
        (lambda: nn.Sequential(nn.LazyLinear(3)), TABLE, "'0.weight' has no shape yet"),
        (lambda: nn.Linear(6, 3).to("meta"), TABLE, "device meta"),
        (lambda: nn.Linear(7, 3), TABLE, r"inputs of shape \[4, 6\].*RuntimeError"),
        (lambda: nn.Conv2d(3, 4, 1), IMAGES, r"got the shape \[4, 4, 16, 16\]"),
        (lambda: written(lambda s, x: None), TABLE, "returns a NoneType"),
        (lambda: written(own_softmax), TABLE, "returns probabilities"),
        (lambda: written(lambda s, x: s.h(F.dropout(s.b(x)))), TABLE, "differ between two calls"),
        (lambda: mlp(), TABLE.long(), "floating-point, got torch.int64"),
        (lambda: mlp(), TABLE[0], r"samples \[sample, ...\], got \[6\]"),
    ],
)
def test_what_cannot_be_wrapped_is_refused_with_what_to_do(make, x, words):
    with pytest.raises(CannotWrap, match=words):
        wrap(make(), x)


@pytest.mark.parametrize(
    "thing, words",
    [(z, "must be a torch.nn.Module, got function"), (Lstm, "got the class Lstm; call it")],
)
def test_what_is_no_network_is_refused(thing, words):
    with pytest.raises(CannotWrap, match=words):
        prepared(thing)


class Compiled(nn.Module):
    """A network as torch.compile gives it."""

    def __init__(self, network):
        super().__init__()
        self._orig_mod = network

    def forward(self, x):
        raise AssertionError("runs as it was before")


@pytest.mark.parametrize(
    "change, note",
    [
        (lambda network: network.double(), "float64 were converted to float32"),
        (lambda network: network.half(), "float16 were converted"),
        (nn.DataParallel, "DataParallel is left out"),
        (Compiled, "before torch.compile"),
    ],
)
def test_what_is_changed_is_said(change, note):
    expected = mlp()(TABLE)
    model = wrap(change(mlp()), TABLE)
    torch.testing.assert_close(model(TABLE), expected, rtol=1e-2, atol=1e-2)
    assert any(note in each for each in model.found.notes)


@pytest.mark.filterwarnings("ignore:`torch.jit.*deprecated:FutureWarning")
def test_a_network_of_torchscript_offers_gradients_alone():
    network = torch.jit.trace(mlp(), TABLE)
    model = wrap(network, TABLE)
    assert torch.equal(model(TABLE), network(TABLE))
    assert set(model.found.withdrawn) == {Need.MODULES}
    assert any("TorchScript" in line for line in model.found.lines())


def test_a_network_that_runs_without_gradients_says_so():
    network = written(torch.no_grad()(z))
    model = wrap(network, TABLE)
    assert set(model.found.withdrawn) == {Need.MODULES, Need.GRADIENT}
    assert "head: no linear layer" in model.found.lines()[0]

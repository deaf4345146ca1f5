"""Guided back-propagation: ReLUs in every form, against a network whose cuts are written by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gpex_bench.families.gradients import guided_gradient, logit_gradient
from gpex_bench.types.demands import Refused
from tests.vocabulary.networks import Written, ready


class Cut(torch.autograd.Function):
    """A ReLU that lets positive gradients pass where it is on: the definition of the method."""

    @staticmethod
    def forward(ctx, z, top):
        ctx.save_for_backward((z > 0) & (z < top))
        return z.clamp(0, top)

    @staticmethod
    def backward(ctx, gradient):
        (is_on,) = ctx.saved_tensors
        return gradient.clamp(min=0) * is_on, None


def cut(z, top=float("inf")):
    return Cut.apply(z, top)


class Mine(nn.ReLU):
    """A subclass of a ReLU."""


def network_of(forward, **modules):
    return ready(Written(forward, **modules))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


RELU = nn.ReLU()
INPLACE = nn.ReLU(inplace=True)
MINE = Mine()
FORMS = {
    "module": RELU,
    "in-place module": lambda z: INPLACE(z),
    "subclass": MINE,
    "torch.relu": torch.relu,
    "functional": F.relu,
    "functional, in place": lambda z: F.relu(z, inplace=True),
    "method": lambda z: z.relu(),
    "method, in place": lambda z: z.relu_(),
    "clamp": lambda z: z.clamp(min=0),
    "clamp_min, in place": lambda z: z.clamp_min_(0),
    "threshold": lambda z: F.threshold(z, 0, 0),
}
CLIPPED = {
    "module": nn.ReLU6(),
    "functional": F.relu6,
    "hardtanh": lambda z: F.hardtanh(z, 0, 6),
    "clamp": lambda z: z.clamp(0, 6),
    "clamp in two steps": lambda z: z.clamp(min=0).clamp(max=6),
}


def residual(relu):
    """A block whose addition works in place, and whose one ReLU is called three times."""

    def forward(net, x):
        y = relu(net.a(x))
        z = relu(net.b(y)) * 1
        z += y
        return net.head(relu(z))

    return forward


@pytest.mark.parametrize("form", FORMS)
def test_every_way_to_write_a_relu_is_cut(form):
    parts = {"a": nn.Linear(5, 8), "b": nn.Linear(8, 8), "head": nn.Linear(8, 2)}
    network = network_of(residual(FORMS[form]), **parts)
    twin = network_of(residual(cut), **parts)
    x, target = normal(9, 5), torch.arange(9) % 2
    expected = logit_gradient(twin, x, target)
    torch.testing.assert_close(guided_gradient(network, x, target), expected)
    assert not torch.allclose(logit_gradient(network, x, target), expected, atol=1e-2)


@pytest.mark.parametrize("form", ["module", "functional", "hardtanh", "clamp"])
def test_relus_that_are_clipped_from_above_are_cut(form):
    parts = {"a": nn.Linear(5, 8), "head": nn.Linear(8, 2)}
    network = network_of(lambda net, x: net.head(CLIPPED[form](4 * net.a(x))), **parts)
    twin = network_of(lambda net, x: net.head(cut(4 * net.a(x), 6.0)), **parts)
    x, target = 2 * normal(9, 5), torch.arange(9) % 2
    expected = logit_gradient(twin, x, target)
    torch.testing.assert_close(guided_gradient(network, x, target), expected)


def test_what_also_reads_the_input_of_a_relu_keeps_its_gradient():
    """f = -(h + relu h) with h = x: the ReLU's gradient of -1 is cut, the other one stays."""
    network = network_of(lambda net, x: -(x + torch.relu(x)))
    found = guided_gradient(network, torch.tensor([[2.0]]), torch.tensor([0]))
    torch.testing.assert_close(found, torch.tensor([[-1.0]]))


def test_a_positive_and_a_negative_use_of_one_relu_are_summed_before_the_cut():
    """f = 3 r - r with r = relu x: its output has a gradient of 2, which passes."""

    def forward(net, x):
        r = torch.relu(x)
        return 3 * r - r

    found = guided_gradient(network_of(forward), torch.tensor([[2.0]]), torch.tensor([0]))
    torch.testing.assert_close(found, torch.tensor([[2.0]]))


def test_gates_keep_their_gradient():
    """Squeeze and excitation, with its ReLUs cut."""

    def gated(relu):
        def forward(net, x):
            maps = relu(net.a(x))
            gate = torch.sigmoid(net.up(relu(net.down(maps.mean((2, 3), keepdim=True)))))
            return net.head((maps * gate).mean((2, 3)))

        return forward

    parts = {"a": nn.Conv2d(2, 6, 3), "down": nn.Conv2d(6, 3, 1), "up": nn.Conv2d(3, 6, 1)}
    network = network_of(gated(torch.relu), **parts, head=nn.Linear(6, 2))
    twin = network_of(gated(cut), **parts, head=network.head)
    x, target = normal(4, 2, 7, 7), torch.tensor([0, 1, 0, 1])
    expected = logit_gradient(twin, x, target)
    torch.testing.assert_close(guided_gradient(network, x, target), expected)


def test_an_activation_of_the_outputs_is_what_is_explained():
    parts = {"a": nn.Linear(5, 8), "head": nn.Linear(8, 2)}
    network = network_of(lambda net, x: net.head(torch.relu(net.a(x))).softmax(1), **parts)
    twin = network_of(lambda net, x: net.head(cut(net.a(x))).softmax(1), **parts)
    x, target = normal(4, 5), torch.tensor([0, 1, 0, 1])
    expected = logit_gradient(twin, x, target)
    torch.testing.assert_close(guided_gradient(network, x, target), expected)


def hidden(unit):
    return network_of(lambda net, x: net.head(torch.relu(net.b(unit(net.a(x))))),
               a=nn.Linear(5, 8), b=nn.Linear(8, 8), head=nn.Linear(8, 2))  # fmt: skip


STAND_IN = {
    "SiLU": F.silu,
    "GELU": F.gelu,
    "LeakyReLU": lambda z: F.leaky_relu(z, 0.1),
    "Hardswish": F.hardswish,
    "Softplus": F.softplus,
    "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid,
    "ELU": F.elu,
    "exp": torch.exp,
    "Softmax": lambda z: z.softmax(1),
    "Hardtanh": F.hardtanh,
}


@pytest.mark.parametrize("name", STAND_IN)
def test_other_activations_are_refused_by_name(name):
    with pytest.raises(Refused, match=f"defined for ReLUs, and {name} at .*in the place of one"):
        guided_gradient(hidden(STAND_IN[name]), normal(3, 5), torch.tensor([0, 0, 0]))


BY_HAND = {
    "silu": lambda z: z * torch.sigmoid(z),
    "swish of another slope": lambda z: z * torch.sigmoid(1.7 * z),
    "hardswish": lambda z: z * F.relu6(z + 3) / 6,
    "square": lambda z: z * z,
    "relu squared": lambda z: torch.relu(z) * z,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_signal_times_its_own_gate_is_another_activation(name):
    with pytest.raises(Refused, match="a signal times its own gate"):
        guided_gradient(hidden(BY_HAND[name]), normal(3, 5), torch.tensor([0, 0, 0]))


def test_networks_without_relu_are_refused():
    network = network_of(lambda net, x: net.head(x), head=nn.Linear(5, 2))
    with pytest.raises(Refused, match="this network has none; use saliency"):
        guided_gradient(network, normal(3, 5), torch.tensor([0, 0, 0]))


def test_an_lstm_is_refused_by_name_and_place():
    network = network_of(lambda net, x: net.head(torch.relu(net.cell(x[:, None])[0][:, -1])),
                  cell=nn.LSTM(5, 3, batch_first=True), head=nn.Linear(3, 2))  # fmt: skip
    with pytest.raises(Refused, match=r"(?i)lstm.*cell"):
        guided_gradient(network, normal(3, 5), torch.tensor([0, 0, 0]))

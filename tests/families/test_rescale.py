"""DeepLift's rules against closed forms, captum where it is right, and networks written twice."""

import captum.attr
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gpex_bench.families.rescale import DeepLift, slope, steepness
from gpex_bench.types.demands import Refused
from tests.vocabulary.networks import Written as Net
from tests.vocabulary.networks import ready

ACTIVATIONS = {
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(0.2),
    "prelu": nn.PReLU(6, init=0.3),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "celu": nn.CELU(0.7),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
    "relu6": nn.ReLU6(),
    "hardtanh": nn.Hardtanh(-0.5, 0.7),
    "hardswish": nn.Hardswish(),
    "hardsigmoid": nn.Hardsigmoid(),
    "sigmoid": nn.Sigmoid(),
    "logsigmoid": nn.LogSigmoid(),
    "tanh": nn.Tanh(),
    "softplus": nn.Softplus(),
    "softsign": nn.Softsign(),
    "tanhshrink": nn.Tanhshrink(),
}
FUNCTIONS = {
    "exp": torch.exp,
    "sin": torch.sin,
    "square": torch.square,
    "abs": torch.abs,
    "erf": torch.erf,
    "clamp": lambda z: z.clamp(-0.3, 0.4),
    "cube": lambda z: z**3,
    "F.silu in place": lambda z: F.silu(z * 1, inplace=True),
}


def normal(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).to(dtype)


def lifted(network, x, baseline, target=None):
    target = torch.zeros(len(x), dtype=torch.int64) if target is None else target
    return DeepLift(network, x)(x, baseline, target)


def is_complete(network, x, baseline, target=None, tolerance=1e-5):
    """Require that the values sum to a change that is worked out apart from them."""
    target = torch.zeros(len(x), dtype=torch.int64) if target is None else target
    values, change = lifted(network, x, baseline, target)
    with torch.no_grad():
        expected = (network(x) - network(baseline)).gather(1, target[:, None])[:, 0]
    size = float(expected.abs().max())
    assert size > 1e-3, "the test says nothing where nothing changes"
    torch.testing.assert_close(change, expected, atol=tolerance * size, rtol=0)
    total = values.flatten(1).sum(1)
    allowed = tolerance * (size + float(values.abs().flatten(1).sum(1).max()))
    torch.testing.assert_close(total, expected, atol=allowed, rtol=0)
    return values


# --- closed forms -------------------------------------------------------------------------------


def test_a_maximum_of_two_relus_by_hand():
    """f = max(relu x1, relu x2). At (3, 1) from (0, 2): f rises from 2, all of it by the first."""
    network = ready(Net(lambda net, x: net.pool(net.relu(x)[:, None])[:, 0],
                        relu=nn.ReLU(), pool=nn.MaxPool1d(2)))  # fmt: skip
    x, baseline = torch.tensor([[3.0, 1.0]]), torch.tensor([[0.0, 2.0]])
    values, change = lifted(network, x, baseline)
    torch.testing.assert_close(values, torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(change, torch.tensor([1.0]))
    # down from 2 to 1: the baseline's winner has all of the fall
    values, _ = lifted(network, torch.tensor([[0.5, 1.0]]), baseline)
    torch.testing.assert_close(values, torch.tensor([[0.0, -1.0]]))
    # the other winner at the same height: from 2 by the first to 2 by the second
    values, _ = lifted(network, torch.tensor([[2.0, 0.0]]), baseline)
    torch.testing.assert_close(values, torch.tensor([[0.0, 0.0]]))


def test_what_also_reads_the_input_of_an_activation_by_hand():
    """f = h + relu h with h = x: from 1 to -2, f falls from 2 to -2, by -4 of -3."""
    network = ready(Net(lambda net, x: x + torch.relu(x)))
    values, change = lifted(network, torch.tensor([[-2.0]]), torch.tensor([[1.0]]))
    torch.testing.assert_close(values, torch.tensor([[-4.0]]))
    torch.testing.assert_close(change, torch.tensor([-4.0]))


def test_a_product_shares_what_both_do_together_by_hand():
    """x1 x2 from (1, 2) to (3, 5): 2 (5 + 2) / 2 for the first, 3 (3 + 1) / 2 for the second."""
    network = ready(Net(lambda net, x: x[:, :1] * x[:, 1:]))
    values, _ = lifted(network, torch.tensor([[3.0, 5.0]]), torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(values, torch.tensor([[7.0, 6.0]]))


def test_a_quotient_by_hand():
    """x1 / x2 from (1, 1) to (3, 2), as x1 times 1 / x2, which falls by 1/2."""
    network = ready(Net(lambda net, x: x[:, :1] / x[:, 1:]))
    values, _ = lifted(network, torch.tensor([[3.0, 2.0]]), torch.tensor([[1.0, 1.0]]))
    torch.testing.assert_close(values, torch.tensor([[2 * 0.75, -0.5 * 2.0]]))


def test_softmax_of_two_by_hand():
    """Of two entries of which one moves: exponentials e and 1, then total, reciprocal, product."""
    network = ready(Net(lambda net, x: x.softmax(1)))
    values, change = lifted(network, torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    share = torch.tensor(1.0).exp() / (1 + torch.tensor(1.0).exp())
    torch.testing.assert_close(change, share[None] - 0.5)
    torch.testing.assert_close(values, torch.stack([share - 0.5, torch.tensor(0.0)])[None])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_one_layer_of_units_has_the_difference_quotient(name):
    """One unit an entry: its contribution is the change of its output, whatever the activation."""
    unit = ready(ACTIVATIONS[name]) if name != "prelu" else ACTIVATIONS[name].requires_grad_(False)
    network = Net(lambda net, x: net.unit(x).sum(1, keepdim=True), unit=unit).eval()
    x, baseline = 2 * normal(40, 6), 2 * normal(40, 6, seed=1)
    values, _ = lifted(network, x, baseline)
    torch.testing.assert_close(values, unit(x) - unit(baseline), atol=2e-6, rtol=1e-5)


# --- every kind of operation is complete --------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_complete_in_a_deep_network(name):
    unit = ACTIVATIONS[name]
    layers = nn.Linear(6, 6), unit, nn.Linear(6, 6), unit, nn.Linear(6, 2)
    network = ready(nn.Sequential(*layers), scale=2)
    is_complete(network, normal(20, 6, seed=1), normal(20, 6, seed=2))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_entries_are_complete(name):
    first, last = nn.Linear(5, 8), nn.Linear(8, 2)
    network = ready(Net(lambda net, x: net.b(FUNCTIONS[name](net.a(x))), a=first, b=last))
    is_complete(network, normal(20, 5, seed=1), normal(20, 5, seed=2))


POOLS = {
    "1d": (nn.MaxPool1d(2), (4, 9)),
    "1d overlapping, padded, ceil": (nn.MaxPool1d(3, 2, 1, ceil_mode=True), (4, 10)),
    "1d dilated": (nn.MaxPool1d(2, 1, 0, 3), (4, 10)),
    "2d": (nn.MaxPool2d(2), (3, 8, 8)),
    "2d overlapping": (nn.MaxPool2d(3, 2), (3, 9, 9)),
    "2d overlapping, padded, ceil": (nn.MaxPool2d(3, 2, 1, ceil_mode=True), (3, 8, 8)),
    "2d dilated, uneven": (nn.MaxPool2d((2, 3), (1, 2), (0, 1), (2, 1)), (3, 8, 9)),
    "2d stride 1": (nn.MaxPool2d(3, 1, 1), (2, 5, 5)),
    "3d overlapping": (nn.MaxPool3d(3, 2, 1), (2, 5, 5, 5)),
    "adaptive 1d": (nn.AdaptiveMaxPool1d(3), (4, 10)),
    "adaptive 2d": (nn.AdaptiveMaxPool2d((3, 2)), (3, 7, 7)),
    "adaptive 3d": (nn.AdaptiveMaxPool3d(2), (2, 3, 4, 5)),
}


@pytest.mark.parametrize("name", POOLS)
def test_maxima_are_complete(name):
    pool, shape = POOLS[name]
    n = pool(torch.zeros(1, *shape)).numel()
    trunk = Net(lambda net, x: net.pool(torch.relu(x)).flatten(1), pool=pool)
    network = ready(nn.Sequential(trunk, nn.Linear(n, 4), nn.Tanh(), nn.Linear(4, 2)))
    x, baseline = normal(6, *shape, seed=1), normal(6, *shape, seed=2)
    is_complete(network, x, baseline)


@pytest.mark.parametrize("name", ["amax", "amin", "max over an axis"])
def test_extremes_over_axes_are_complete(name):
    extreme = {
        "amax": lambda x: x.amax((2, 3)),
        "amin": lambda x: x.amin((-1, -2)),
        "max over an axis": lambda x: x.max(2).values.sum(2),
    }[name]
    network = ready(Net(lambda net, x: net.head(extreme(net.conv(x))),
                        conv=nn.Conv2d(2, 5, 3), head=nn.Linear(5, 2)))  # fmt: skip
    is_complete(network, normal(6, 2, 7, 8, seed=1), normal(6, 2, 7, 8, seed=2))


def squeeze_and_excite(net, x):
    maps = net.conv(x)
    gate = torch.sigmoid(net.up(F.silu(net.down(maps.mean((2, 3), keepdim=True)))))
    return net.head(F.relu(maps * gate).amax((2, 3)))


def attend(net, x):
    query, key, value = net.qkv(x).chunk(3, dim=2)
    share = (query @ key.transpose(1, 2) / 2).softmax(2)
    return net.head((share @ value).mean(1))


def dense(net, x):
    y = torch.cat([x, F.relu_(net.norm(net.conv(x)))], 1)
    y = F.max_pool2d(y, 3, 2, 1)
    return net.head(y.mean((2, 3)))


NETWORKS = {
    "squeeze and excitation": (
        Net(squeeze_and_excite, conv=nn.Conv2d(2, 6, 3), down=nn.Conv2d(6, 3, 1),
            up=nn.Conv2d(3, 6, 1), head=nn.Linear(6, 2)), (2, 8, 8)),
    "softmax attention": (Net(attend, qkv=nn.Linear(4, 12), head=nn.Linear(4, 2)), (7, 4)),
    "concatenation, in place": (
        Net(dense, conv=nn.Conv2d(2, 3, 3, padding=1), norm=nn.BatchNorm2d(3),
            head=nn.Linear(5, 2)), (2, 8, 8)),
    "shares of a total": (
        Net(lambda net, x: net.head(net.a(x).exp() / net.a(x).exp().sum(1, keepdim=True)),
            a=nn.Linear(5, 6), head=nn.Linear(6, 2)), (5,)),
    "gated units": (
        Net(lambda net, x: net.head(F.glu(net.a(x))), a=nn.Linear(5, 8), head=nn.Linear(4, 2)),
        (5,)),
    "normalises inside": (
        Net(lambda net, x: net.head(torch.tanh(net.a((x - 0.3) / 0.7))), a=nn.Linear(5, 8),
            head=nn.Linear(8, 2)), (5,)),
    "the larger of two signals": (
        Net(lambda net, x: net.head(torch.maximum(net.a(x), net.b(x))), a=nn.Linear(5, 6),
            b=nn.Linear(5, 6), head=nn.Linear(6, 2)), (5,)),
    "heads of attention, places first": (
        Net(lambda net, x: net.head(net.mix(*[x.transpose(0, 1)] * 3)[0].mean(0)),
            mix=nn.MultiheadAttention(4, 2), head=nn.Linear(4, 2)), (5, 4)),
    "a norm written out": (
        Net(lambda net, x: net.head(x * (x.square().sum(1, keepdim=True) + 1).rsqrt()),
            head=nn.Linear(5, 2)), (5,)),
    "weights under a norm": (
        Net(lambda net, x: net.head(F.elu(net.a(x)).flatten(1)),
            a=nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 4, 3)), head=nn.Linear(16, 2)),
        (2, 6)),
    "one shared activation": (
        Net(lambda net, x: net.b(net.act(net.a(net.act(x)))), a=nn.Linear(5, 5), act=nn.SiLU(),
            b=nn.Linear(5, 2)), (5,)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_as_people_write_them_are_complete(name):
    network, shape = NETWORKS[name]
    x, baseline = normal(6, *shape, seed=1), normal(6, *shape, seed=2)
    is_complete(ready(network, scale=1.5), x, baseline, torch.arange(6) % 2)


def test_axes_may_come_in_any_order():
    """The rows need not be the first axis inside: as in `nn.MultiheadAttention`."""
    swapped = ready(Net(lambda net, x: torch.tanh(net.a(x.transpose(0, 1))).sum(0) @ net.w,
                        a=nn.Linear(4, 5), w=nn.Parameter(torch.zeros(5, 2))))  # fmt: skip
    plain = Net(lambda net, x: torch.tanh(net.a(x)).sum(1) @ net.w, a=swapped.a, w=swapped.w)
    x, baseline = normal(3, 6, 4, seed=1), normal(3, 6, 4, seed=2)
    values = is_complete(swapped, x, baseline)
    torch.testing.assert_close(values, lifted(plain.eval(), x, baseline)[0])


def test_softmax_is_its_parts_written_out():
    """The module against exponentials, a sum and a logarithm, which have rules of their own."""
    first, last = nn.Linear(5, 6), nn.Linear(6, 2)
    whole = ready(Net(lambda net, x: net.b(net.a(x).softmax(1)), a=first, b=last), scale=2)

    def in_parts(net, x):
        z = net.a(x)
        return net.b((z - z.exp().sum(1, keepdim=True).log()).exp())

    parts = Net(in_parts, a=first, b=last).eval()
    x, baseline = normal(8, 5, seed=1), normal(8, 5, seed=2)
    values, _ = lifted(whole, x, baseline)
    torch.testing.assert_close(values, lifted(parts, x, baseline)[0], atol=1e-5, rtol=1e-4)


def test_the_multiplier_of_softmax_is_its_gradient_where_all_logits_rise_alike():
    """From z to z + 5 nothing changes; multipliers blow up if exponentials are divided."""
    z, target = normal(3, 4), torch.tensor([0, 1, 2])
    values, _ = lifted(Net(lambda net, x: x.softmax(1)).eval(), z + 5, z, target)
    share = z.softmax(1)
    gradient = share.gather(1, target[:, None]) * (torch.eye(4)[target] - share)
    torch.testing.assert_close(values, 5 * gradient, atol=1e-5, rtol=1e-4)


def test_log_softmax_is_its_parts_written_out():
    first = nn.Linear(5, 6)
    whole = ready(Net(lambda net, x: F.log_softmax(net.a(x), dim=1), a=first), scale=2)
    parts = Net(lambda net, x: net.a(x) - net.a(x).exp().sum(1, keepdim=True).log(), a=first)
    x, baseline = normal(8, 5, seed=1), normal(8, 5, seed=2)
    values = is_complete(whole, x, baseline)
    torch.testing.assert_close(values, lifted(parts.eval(), x, baseline)[0], atol=1e-5, rtol=1e-4)


def test_softmax_keeps_its_range():
    """Logits far from those of the baseline, and some that a mask has switched off."""
    mask = torch.tensor([0.0, 0.0, -1e30, 0.0])
    network = ready(Net(lambda net, x: (x + mask).softmax(1) @ net.w,
                        w=nn.Parameter(torch.zeros(4, 2))))  # fmt: skip
    is_complete(network, 200 * normal(6, 4), 200 * normal(6, 4, seed=1))


# --- small differences, rows, captum ------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "prelu"])
@pytest.mark.parametrize("step", [0.0, 1e-7, 1e-6, 1e-4, 1e-2])
def test_tiny_differences_have_the_quotient_of_double_precision(name, step):
    """In single precision the plain quotient of such differences is rounding, or 0 / 0."""
    unit = ACTIVATIONS[name]
    z = 3 * normal(4000)
    base = z + step * z.abs().clamp(min=0.1) * normal(4000, seed=1).sign()
    found = steepness(unit, z, base)

    upper, lower = z.double(), base.double()
    _, at_z = slope(unit, upper)
    quotient = (unit(upper) - unit(lower)) / (upper - lower)
    expected = torch.where(upper == lower, at_z, quotient)
    torch.testing.assert_close(found.double(), expected, atol=2e-3, rtol=2e-3)
    if 0 < step < 1e-5 and name == "sigmoid":
        plain = (unit(z) - unit(base)) / (z - base)
        assert not torch.allclose(plain.double(), expected, atol=2e-3, rtol=2e-3, equal_nan=True)


def test_a_bend_between_two_near_points_is_seen():
    """relu6 bends at 6: half of this tiny difference counts."""
    z, base = torch.tensor([6 + 1e-4]), torch.tensor([6 - 1e-4])
    torch.testing.assert_close(steepness(F.relu6, z, base), torch.tensor([0.5]), atol=5e-3, rtol=0)


def conv_net(first, second, pool):
    layers = nn.Conv2d(2, 4, 3), first, pool, nn.Conv2d(4, 6, 3), second, nn.Flatten()
    return ready(nn.Sequential(*layers, nn.Linear(24, 3)), scale=1.5)


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks and attributes on non-linear")
@pytest.mark.parametrize("unit", [nn.ReLU, nn.Softplus, nn.Tanh, nn.Sigmoid, nn.ELU, nn.LeakyReLU])
def test_it_is_captums_where_captum_is_right(unit):
    """Captum is right without a maximum, and where no two of its hooks follow one another."""
    network = conv_net(unit(), unit(), nn.AvgPool2d(2))
    x, baseline = normal(5, 2, 10, 10), normal(5, 2, 10, 10, seed=1)
    target = torch.arange(5) % 3
    expected = (
        captum.attr.DeepLift(network)
        .attribute(x.clone().requires_grad_(), baseline, target=target)
        .detach()
    )
    values, _ = lifted(network, x, baseline, target)
    size = float(expected.abs().max())
    torch.testing.assert_close(values, expected, atol=1e-4 * size, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks and attributes on non-linear")
def test_it_is_captums_through_max_pooling_alone():
    """A pooling that does not overlap, whose input no other hook of captum's touches."""
    network = conv_net(nn.Identity(), nn.Tanh(), nn.MaxPool2d(2))
    x, baseline = normal(5, 2, 10, 10), normal(5, 2, 10, 10, seed=1)
    expected = (
        captum.attr.DeepLift(network)
        .attribute(x.clone().requires_grad_(), baseline, target=1)
        .detach()
    )
    values, _ = lifted(network, x, baseline, torch.ones(5, dtype=torch.int64))
    size = float(expected.abs().max())
    torch.testing.assert_close(values, expected, atol=1e-4 * size, rtol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_do_not_influence_one_another(name):
    network, shape = NETWORKS[name]
    network = ready(network, scale=1.5)
    x, baseline = normal(4, *shape, seed=1), normal(4, *shape, seed=2)
    values, _ = lifted(network, x, baseline)
    for row in range(4):
        alone, _ = lifted(network, x[row : row + 1], baseline[row : row + 1])
        size = float(alone.abs().max())
        torch.testing.assert_close(values[row], alone[0], atol=1e-5 * size, rtol=1e-4)


def test_the_network_stays_as_it_is():
    network, shape = NETWORKS["concatenation, in place"]
    network = ready(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    x = normal(2, *shape)
    kept = x.clone()
    lifted(network, x, torch.zeros_like(x))
    assert torch.equal(x, kept)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


# --- refusals -----------------------------------------------------------------------------------

REFUSED = {
    "LayerNorm": Net(lambda net, x: net.head(net.norm(x)), norm=nn.LayerNorm(4),
                     head=nn.Linear(4, 2)),
    "GroupNorm": Net(lambda net, x: net.head(net.norm(x)), norm=nn.GroupNorm(2, 4),
                     head=nn.Linear(4, 2)),
    "LSTM": Net(lambda net, x: net.head(net.cell(x[:, None])[0][:, -1]),
                cell=nn.LSTM(4, 3, batch_first=True), head=nn.Linear(3, 2)),
    "GRU": Net(lambda net, x: net.head(net.cell(x[:, None])[0][:, -1]),
               cell=nn.GRU(4, 3, batch_first=True), head=nn.Linear(3, 2)),
    "norm": Net(lambda net, x: net.head(x / x.norm(dim=1, keepdim=True)), head=nn.Linear(4, 2)),
    "sort": Net(lambda net, x: net.head(x.sort(1).values), head=nn.Linear(4, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused_by_name_and_place(name):
    place = {"LayerNorm": "norm", "GroupNorm": "norm", "LSTM": "cell", "GRU": "cell"}
    network = ready(REFUSED[name])
    with pytest.raises(Refused, match="(?i)" + name) as caught:
        lifted(network, normal(3, 4), torch.zeros(3, 4))
    assert place.get(name, "the network") in str(caught.value)
    assert "integrated_gradients" in str(caught.value)

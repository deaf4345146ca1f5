"""Relevance on networks as people write them, against other ways to write them and dense matrices.

The other way to write a network shares no code with what reads it: plain layers with the numbers
worked out here.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, spectral_norm, weight_norm
from zennit.layer import Sum

from gpex_bench.types import Model
from gpex_bench.types.demands import Refused
from tests.vocabulary import networks

COMPOSITES = ("epsilon", "alpha2_beta1", "epsilon_gamma_box")
POLICIES = ("absorbs", "spread")


class Written(Model):
    """A network whose forward is a function of it and the input; its parts are named."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.written = forward
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def embed(self, x):
        return self.written(self, x)


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return make()


@pytest.fixture
def maps(task, query, method):
    """The maps of a network for all composites and policies of biases."""

    def explain(network, x, composites=COMPOSITES):
        network = network.eval().requires_grad_(False)
        return [
            method("lrp", composite=composite, bias=bias)
            .explain(task(network, x), query(x, 1))
            .values
            for composite in composites
            for bias in POLICIES
        ]

    return explain


def assert_same(found, expected, rtol=1e-3):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=rtol, atol=1e-4 * float(other.abs().max()))
        assert float(other.abs().max()) > 0


# --- the same network, written another way ---


def conv(n_in=1, n_out=4):
    return nn.Conv2d(n_in, n_out, 3, padding=1)


def residual(add):
    """A network with a skip that is added in some way."""

    def forward(self, x):
        first = self.relu(self.stem(x))
        return self.pool(self.after(add(self, first, self.inner(first)))).flatten(1)

    return seeded(
        lambda: Written(
            forward,
            stem=conv(),
            relu=nn.ReLU(),
            inner=conv(4),
            after=nn.ReLU(),
            pool=nn.AdaptiveAvgPool2d(2),
            plus=nn.Identity(),
            head=nn.Linear(16, 3),
        )
    )


class Named(nn.Module):
    """A module that is called as zennit's and adds otherwise."""

    def forward(self, first, second):
        return first + second


Named.__name__ = "Sum"


def in_place(self, first, inner):
    inner += first
    return inner


@pytest.mark.parametrize(
    "add",
    [
        lambda self, first, inner: first + inner,
        lambda self, first, inner: in_place(self, first, inner),
        lambda self, first, inner: torch.add(inner, first),
        lambda self, first, inner: torch.add(first, 0.5 * inner, alpha=2),
        lambda self, first, inner: sum([first, inner]),
        lambda self, first, inner: inner.sub(-first),
        lambda self, first, inner: Named()(first, inner),
        lambda self, first, inner: torch.cat([first[:, None], inner[:, None]], 1).sum(1),
        lambda self, first, inner: self.plus(2 * torch.stack([first, inner]).mean(0)),
    ],
)
def test_additions_of_any_form_are_the_same(maps, normal, add):
    x = normal(2, 1, 6, 6)
    registered = Sum(dim=1)
    expected = residual(lambda self, first, inner: registered(torch.stack([first, inner], 1)))
    assert_same(maps(residual(add), x), maps(expected, x))


def test_a_difference_is_the_sum_with_the_negative(maps, normal):
    x = normal(2, 1, 6, 6)
    found = maps(residual(lambda self, first, inner: first - inner), x)
    assert_same(found, maps(residual(lambda self, first, inner: first + -1 * inner), x))


def test_a_difference_shares_by_signed_summands(task, query, method):
    """f = 2 a - b for a = 3 x, b = x: contributions 6 and -1."""
    network = Written(
        lambda self, x: torch.sub(x[:, :1] * 3, x[:, 1:]).expand(-1, 2),
        head=nn.Linear(2, 1, bias=False),
    )
    network.head.weight.data.fill_(1.0)
    x = torch.tensor([[2.0, 1.0], [1.0, -1.0]])
    values = method("lrp", composite="epsilon").explain(task(network, x), query(x)).values
    torch.testing.assert_close(values, torch.tensor([[12.0, -2.0], [6.0, 2.0]]))


def functional(self, x):
    """A small network, written with functions and in place."""
    y = F.conv2d(x, self.stem.weight, self.stem.bias, padding=1)
    y = F.batch_norm(y, self.norm.running_mean, self.norm.running_var, self.norm.weight)
    y = F.relu(y, inplace=True)
    y = F.max_pool2d(y, 2)
    y = F.linear(input=y.flatten(1), weight=self.dense.weight, bias=self.dense.bias)
    F.linear(y, self.unused.weight)
    return torch.relu_(y)


def modules(self, x):
    y = self.pool(self.relu(self.norm(self.stem(x))))
    return self.relu(self.dense(y.flatten(1)))


class Norm(nn.BatchNorm2d):
    """A norm that is a kind of batch norm."""


def small(forward, norm=nn.BatchNorm2d):
    network = seeded(
        lambda: Written(
            forward,
            stem=conv(),
            norm=norm(4),
            relu=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            dense=nn.Linear(36, 8),
            unused=nn.Linear(8, 2),
            head=nn.Linear(8, 3),
        )
    )
    with torch.no_grad():
        network.norm.running_mean.copy_(torch.tensor([0.1, -0.2, 0.3, 0.0]))
        network.norm.running_var.copy_(torch.tensor([0.5, 2.0, 1.0, 1.5]))
        network.norm.weight.copy_(torch.tensor([1.0, -2.0, 0.5, 1.5]))
    return network


def test_functions_keywords_branches_without_use_and_subclasses_are_the_same(maps, normal):
    x = normal(2, 1, 6, 6)
    expected = maps(small(modules), x)
    assert_same(maps(small(functional), x), expected)
    assert_same(maps(small(modules, Norm), x), expected)


@pytest.mark.parametrize(
    "wrap",
    [
        weight_norm,
        parametrizations.weight_norm,
        spectral_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_weights_that_are_computed_from_others_are_what_they_come_to(maps, normal, wrap):
    x = normal(2, 1, 6, 6)
    network = small(modules)
    network.stem = wrap(network.stem)
    network.dense = wrap(network.dense)
    with torch.no_grad():
        for weight in [*network.stem.parameters(), *network.dense.parameters()]:
            weight += 0.3 * torch.linspace(0, 1, weight.numel()).view(weight.shape)
        network.train()(x)
        network.eval()(x)

    plain = small(modules)
    for name in ("stem", "dense"):
        layer = getattr(plain, name)
        layer.weight.data = getattr(network, name).weight.detach().clone()
        layer.bias.data = getattr(network, name).bias.detach().clone()
    plain.norm.load_state_dict(network.norm.state_dict())
    change = plain.dense.weight.detach() - small(modules).dense.weight.detach()
    assert float(change.abs().max()) > 0.01
    assert_same(maps(network, x), maps(plain, x))


def test_constants_are_folded_as_a_batch_norm_is(maps, normal):
    """(x - m) / s before the first convolution, y s + t after it, and a bias of its own."""
    mean, deviation = torch.tensor([0.3, -0.2]), torch.tensor([0.5, 2.0])
    scale, shift = torch.tensor([1.5, -0.5, 2.0, 1.0]), torch.tensor([0.1, -0.3, 0.0, 0.2])

    def of_map(constant):
        return constant[:, None, None]

    def plain(self, x):
        y = self.stem((x - of_map(self.mean)) / of_map(self.deviation))
        y = y * of_map(self.scale) + of_map(self.shift)
        return self.dense(y.relu().flatten(1)) @ self.matrix + self.bias

    def twin(self, x):
        return self.last(self.dense(self.after(self.stem(self.before(x))).relu().flatten(1)))

    def parts():
        return {"stem": conv(2), "dense": nn.Linear(144, 8), "head": nn.Linear(8, 3)}

    written = seeded(lambda: Written(plain, **parts()))
    expected = seeded(lambda: Written(twin, **parts()))
    constants = {"mean": mean, "deviation": deviation, "scale": scale, "shift": shift}
    for name, constant in constants.items():
        written.register_buffer(name, constant)
    written.matrix = nn.Parameter(torch.linspace(-1, 1, 64).view(8, 8))
    written.bias = nn.Parameter(torch.linspace(-1, 1, 8))

    expected.before, expected.after, expected.last = (
        nn.BatchNorm2d(2, eps=0),
        nn.BatchNorm2d(4, eps=0),
        nn.Linear(8, 8),
    )
    expected.before.running_mean, expected.before.running_var = mean, deviation**2
    expected.after.weight.data, expected.after.bias.data = scale, shift
    expected.last.weight.data, expected.last.bias.data = written.matrix.T, written.bias.data
    x = normal(2, 2, 6, 6)
    assert_same(maps(written, x), maps(expected, x))


def hand_norm(x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()


def rms(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


@pytest.mark.parametrize(
    "one, other",
    [
        (hand_norm, nn.LayerNorm(6, elementwise_affine=False)),
        (rms, nn.RMSNorm(6, eps=1e-5, elementwise_affine=False)),
        (lambda x: F.normalize(x, dim=1), lambda x: x / x.norm(dim=1, keepdim=True)),
        (lambda x: x * F.relu6(x + 3) / 6, nn.Hardswish()),
        (lambda x: x * x.sigmoid(), nn.SiLU()),
        (lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)), nn.GELU()),
        (lambda x: x.sigmoid() * x + (1 - x.sigmoid()) * x, lambda x: x * 1.0),
        (lambda x: x.square(), lambda x: x * x),
        (lambda x: torch.maximum(x, -x), torch.abs),
        (lambda x: F.prelu(x, torch.tensor([0.3])), nn.LeakyReLU(0.3)),
        (lambda x: F.layer_norm(x, (6,)), nn.GroupNorm(1, 6, affine=False)),
    ],
)
def test_what_is_written_out_is_what_torch_has_a_module_for(maps, normal, one, other):
    x = normal(3, 5)

    def network(function):
        def forward(self, x):
            return self.second(function(self.first(x)))

        return seeded(
            lambda: Written(
                forward, first=nn.Linear(5, 6), second=nn.Linear(6, 4), head=nn.Linear(4, 2)
            )
        )

    composites = ("epsilon", "epsilon_plus", "alpha2_beta1")
    assert_same(maps(network(one), x, composites), maps(network(other), x, composites))


def attend(self, x):
    return F.scaled_dot_product_attention(
        self.query(x), self.key(x), self.value(x), is_causal=True
    ).mean(1)


def masked(self, x):
    scores = self.query(x) @ self.key(x).mT / 2
    scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    return torch.einsum("bts,bsd->btd", scores.softmax(-1), self.value(x)).mean(1)


def multiplied(self, x):
    return (torch.einsum("btd,kd->btk", x, self.value.weight) + self.value.bias).relu().mean(1)


def linear(self, x):
    return self.value(x).relu().mean(1)


@pytest.mark.parametrize("one, other", [(attend, masked), (multiplied, linear)])
def test_products_by_any_function_are_the_same(maps, normal, one, other):
    x = normal(3, 5, 4)

    def network(forward):
        parts = {name: nn.Linear(4, 4) for name in ("query", "key", "value")}
        return Written(forward, **parts, head=nn.Linear(4, 3))

    composites = ("epsilon", "epsilon_plus", "gamma")
    found = maps(seeded(lambda: network(one)), x, composites)
    assert_same(found, maps(seeded(lambda: network(other)), x, composites))


PLACES = {
    "group norm": (lambda self, x: self.after(x), nn.GroupNorm(2, 6)),
    "instance norm": (lambda self, x: self.after(x).relu(), nn.InstanceNorm2d(6, affine=True)),
    "running instance norm": (
        lambda self, x: self.after(x),
        nn.InstanceNorm2d(6, track_running_stats=True),
    ),
    "response norm": (lambda self, x: self.after(x.relu()), nn.LocalResponseNorm(3)),
    "circular padding": (
        lambda self, x: self.after(x),
        nn.Conv2d(6, 6, 3, padding=1, padding_mode="circular"),
    ),
    "transposed": (
        lambda self, x: self.after(x).relu(),
        nn.Sequential(nn.ConvTranspose2d(6, 6, 3, 2, groups=2), nn.BatchNorm2d(6)),
    ),
    "larger": (lambda self, x: self.after(x).relu(), nn.Upsample(scale_factor=2, mode="bilinear")),
    "glu": (lambda self, x: F.glu(x, 1).repeat(1, 2, 1, 1), nn.Identity()),
    "gate": (lambda self, x: x * self.after(x.mean((2, 3), keepdim=True)), nn.Sigmoid()),
    "two factors": (lambda self, x: x * self.after(x.flip(1)), nn.Softplus()),
    "deviation": (lambda self, x: x / (x.std((2, 3), keepdim=True) + 1e-3), nn.Identity()),
}


@pytest.mark.parametrize("kind", PLACES)
def test_rows_alone_keep_their_logit_by_every_kind_of_layer(task, query, method, normal, kind):
    function, after = PLACES[kind]

    def forward(self, x):
        return function(self, self.stem(x)).mean((2, 3))

    network = seeded(
        lambda: Written(forward, stem=nn.Conv2d(2, 6, 3), after=after, head=nn.Linear(6, 3))
    )
    network.eval().requires_grad_(False)
    x = normal(3, 2, 6, 6)
    logit = network(x)[:, 1]
    for explainer in (method("lrp", bias="spread"), method("deep_taylor")):
        found = explainer.explain(task(network, x), query(x, 1)).values
        size = float(found.abs().flatten(1).sum(1).max())
        torch.testing.assert_close(found.flatten(1).sum(1), logit, rtol=1e-3, atol=1e-5 * size)
        alone = explainer.explain(task(network, x), query(x[1:2], 1)).values
        torch.testing.assert_close(alone[0], found[1], rtol=1e-3, atol=1e-5 * size)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_norm_is_folded_into_a_transposed_convolution(maps, normal, groups):
    """It is a convolution with turned kernels on the padded map."""
    transposed = seeded(lambda: nn.ConvTranspose2d(4, 6, 3, groups=groups))
    plain = nn.Conv2d(4, 6, 3, padding=2, groups=groups)
    turned = transposed.weight.data.flip((2, 3)).unflatten(0, (groups, -1)).transpose(1, 2)
    plain.weight.data = turned.flatten(0, 1).contiguous()
    plain.bias.data = transposed.bias.data
    norm = nn.BatchNorm2d(6)
    norm.weight.data = torch.linspace(-1, 2, 6)
    norm.running_mean.copy_(torch.linspace(1, -1, 6))

    def forward(self, x):
        return self.norm(self.inner(self.stem(x))).relu().mean((2, 3))

    def network(inner):
        parts = {"stem": nn.Conv2d(2, 4, 3), "norm": norm, "head": nn.Linear(6, 3)}
        return Written(forward, inner=inner, **parts)

    x = normal(2, 2, 5, 5)
    found = maps(seeded(lambda: network(transposed)), x)
    assert_same(found, maps(seeded(lambda: network(plain)), x))


@pytest.mark.parametrize(
    "part, message",
    [
        (nn.LSTM(4, 4, batch_first=True), r"'lstm' in part \(LSTM\)"),
        (nn.Bilinear(4, 4, 4), r"'bilinear' in part \(Bilinear\)"),
        (lambda x: x.topk(4)[0], r"'topk' in the network \(Written\)"),
        (lambda x: x.logsumexp(2, True).expand(-1, -1, 4), r"'logsumexp' in the network"),
        (lambda x: x / (1 + x.sum(2, keepdim=True)), r"'Divide' in the network .* a deviation"),
    ],
)
def test_what_has_no_rule_is_refused_by_name_and_place(task, query, method, normal, part, message):
    def forward(self, x):
        made = self.part(x, x) if isinstance(part, nn.Bilinear) else self.part(x)
        return (made[0] if isinstance(made, tuple) else made)[:, -1]

    network = seeded(lambda: Written(forward, part=part, head=nn.Linear(4, 3))).eval()
    x = normal(2, 5, 4)
    for name in ("lrp", "deep_taylor"):
        with pytest.raises(Refused, match=f"No propagation rule is known for .*{message}"):
            method(name).explain(task(network, x), query(x))


# --- one sample's constants ---


def test_a_gate_takes_nothing(maps, normal):
    """Of one sample, a gate is a constant: squeeze and excitation, as MobileNetV3 writes it."""
    x = normal(1, 2, 6, 6)

    def gated(self, x):
        y = self.stem(x).relu()
        gate = F.hardsigmoid(self.excite(self.squeeze(y).relu()))
        return (gate * y).mean((2, 3)) if self.factor is None else (self.factor * y).mean((2, 3))

    def squeezed(**more):
        network = seeded(
            lambda: Written(
                gated,
                stem=conv(2),
                squeeze=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 2, 1)),
                excite=nn.Conv2d(2, 4, 1),
                head=nn.Linear(4, 3),
            )
        )
        network.factor = None
        return network

    network = squeezed()
    fixed = squeezed()
    with torch.no_grad():
        y = network.stem(x).relu()
        fixed.factor = F.hardsigmoid(network.excite(network.squeeze(y).relu()))
    assert_same(maps(network, x), maps(fixed, x))


def test_factors_without_a_gate_take_half_each(task, query, method):
    """f = (2 a) (a + b) at (3, 1): 24, of which 12 go to a, and 12 to a and b as 3 to 1."""
    network = Written(
        lambda self, x: 2 * x[:, :1] * x.sum(1, keepdim=True), head=nn.Linear(1, 1, bias=False)
    )
    network.head.weight.data.fill_(1.0)
    x = torch.tensor([[3.0, 1.0]])
    values = method("lrp", composite="epsilon").explain(task(network, x), query(x)).values
    torch.testing.assert_close(values, torch.tensor([[12.0 + 9.0, 3.0]]))


def test_a_recurrent_cell_that_is_written_out_conserves(task, query, method, normal):
    """Gates are sigmoids; what they let pass is the tanh of new values, and the state."""

    def cell(self, x):
        state = hidden = x.new_zeros(len(x), 4)
        for step in range(3):
            mixed = self.mix(torch.cat([x[:, step], hidden], 1))
            entry, forget, new, out = mixed.chunk(4, 1)
            state = forget.sigmoid() * state + entry.sigmoid() * new.tanh()
            hidden = out.sigmoid() * state.tanh()
        return hidden

    network = seeded(lambda: Written(cell, mix=nn.Linear(6, 16), head=nn.Linear(4, 2))).eval()
    x = normal(3, 3, 2)
    found = method("lrp", bias="spread").explain(task(network, x), query(x, 1))
    logit = network(x)[:, 1]
    torch.testing.assert_close(found.values.flatten(1).sum(1), logit, rtol=1e-3, atol=1e-5)
    assert float(found.values.abs().amax((0, 2)).min()) > 0


# --- dense matrices, in double precision ---


def arrays(*layers):
    return [(m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in layers]


def by_epsilon(a, weight, bias, relevance):
    return a * ((relevance / (weight @ a + bias)) @ weight)


def test_the_box_rule_reads_bounds_through_views_and_constants(task, query, method, normal):
    """A dense network on the permuted, padded and normalised image, as a matrix by hand."""

    def forward(self, x):
        x = F.pad((x - 0.2) / -0.5, (1, 0)).permute(0, 2, 3, 1)
        return self.first(x.flatten(1)).relu()

    network = seeded(
        lambda: Written(forward, first=nn.Linear(2 * 3 * 5, 7), head=nn.Linear(7, 3))
    ).eval()
    train = torch.rand(20, 2, 3, 4, generator=torch.Generator().manual_seed(0)) * 2 - 0.5
    x = train[:2]
    asked = task(network, x, train=train)

    (w, b), (wh, bh) = arrays(network.first, network.head)
    low = np.minimum(train.amin((0, 2, 3)).double().numpy(), 0)
    high = np.maximum(train.amax((0, 2, 3)).double().numpy(), 0)
    expected = []
    for row in x.double().numpy():
        # what the first layer reads: a negative factor swaps the ends
        a = (row - 0.2) / -0.5
        ends = [np.broadcast_to(end[:, None, None], row.shape) for end in (high, low)]
        floor, ceiling = ((end - 0.2) / -0.5 for end in ends)
        a, floor, ceiling = (
            np.pad(v, ((0, 0), (0, 0), (1, 0))).transpose(1, 2, 0).ravel()
            for v in (a, floor, ceiling)
        )
        hidden = np.maximum(w @ a + b, 0)
        logit = wh[1] @ hidden + bh[1]
        parts = np.maximum(wh[1] * hidden, 0)
        of_hidden = parts / parts.sum() * logit

        summands = w * a - np.maximum(w, 0) * floor - np.minimum(w, 0) * ceiling
        of_input = (summands / summands.sum(1, keepdims=True) * of_hidden[:, None]).sum(0)
        expected.append(of_input.reshape(3, 5, 2).transpose(2, 0, 1)[:, :, 1:])

    found = method("deep_taylor").explain(asked, query(x, 1)).values
    expected = torch.tensor(np.stack(expected))
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "join",
    [
        lambda x, y: torch.cat([x, y], 1),
        lambda x, y: torch.maximum(x, y).repeat(1, 2),
    ],
)
def test_bounds_of_a_part_are_no_bounds(task, query, method, normal, join):
    def forward(self, x):
        x = x.flatten(1)
        return self.after(join(x, self.inner(x).relu()))

    network = Written(
        forward, inner=nn.Linear(8, 8), after=nn.Linear(16, 4), head=nn.Linear(4, 2)
    ).eval()
    x = normal(2, 2, 2, 2)
    with pytest.raises(Refused, match=r"needs the bounds of what after \(Linear\) reads"):
        method("deep_taylor").explain(task(network, x), query(x))


def test_bounds_that_are_not_known_are_refused(layers, task, query, method, normal):
    network = layers(
        nn.Sequential(nn.InstanceNorm2d(2), nn.Conv2d(2, 3, 3), nn.Flatten()), nn.Linear(48, 2)
    )
    x = normal(2, 2, 6, 6)
    with pytest.raises(Refused, match=r"needs the bounds of what trunk\.1 \(Conv2d\) reads"):
        method("deep_taylor").explain(task(network, x), query(x))
    found = method("deep_taylor", domain="unbounded").explain(task(network, x), query(x, 1))
    assert float(found.residual.abs().max()) < 1e-4


@pytest.mark.parametrize("n_places", [4, 5])
@pytest.mark.parametrize("kind", [nn.BatchNorm1d, type("Mine", (nn.BatchNorm1d,), {})])
@pytest.mark.parametrize("composite", ["epsilon", "alpha1_beta0"])
def test_series_with_norms_are_matrices_by_hand(
    layers, task, query, method, normal, n_places, kind, composite
):
    """Channels [n, c, t], as many as places and not: norm -> linear over places -> norm."""
    network = seeded(
        lambda: layers(
            nn.Sequential(kind(4), nn.Linear(n_places, n_places), kind(4), nn.Flatten()),
            nn.Linear(4 * n_places, 2),
        )
    )
    for norm in (network.trunk[0], network.trunk[2]):
        norm.running_mean.copy_(torch.tensor([0.1, -0.3, 0.2, 0.5]))
        norm.running_var.copy_(torch.tensor([0.5, 1.5, 1.0, 2.0]))
        norm.weight.data = torch.tensor([1.0, 0.5, 2.0, 1.5])
        norm.bias.data = torch.tensor([0.3, -0.2, 0.1, 0.4])
    network.eval()
    x = normal(2, 4, n_places)
    explainer = method("lrp", composite=composite, epsilon=0.0)
    found = explainer.explain(task(network, x), query(x, 1)).values

    (w, b), (wh, bh) = arrays(network.trunk[1], network.head)
    scales, shifts = [], []
    for norm in (network.trunk[0], network.trunk[2]):
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        scales.append(scale.detach().numpy())
        shifts.append((norm.bias.double() - norm.running_mean * scale).detach().numpy())

    def share(a, weight, bias, relevance):
        """Return one unit's relevance, shared by all summands or by the positive ones."""
        summands = weight * a
        if composite == "epsilon":
            return summands / (summands.sum() + bias) * relevance
        positive, extra = np.maximum(summands, 0), max(bias, 0)
        if positive.sum() + extra > 0:
            return positive / (positive.sum() + extra) * relevance
        negative = np.minimum(summands, 0)
        return negative / (negative.sum() + min(bias, 0)) * relevance

    for row, image in zip(found, x.double().numpy(), strict=True):
        # each norm is folded into the linear layer behind it: its shift belongs to the bias
        scaled = image * scales[0][:, None]
        inner = (scaled + shifts[0][:, None]) @ w.T + b
        outer = inner * scales[1][:, None]
        shifted = np.broadcast_to(shifts[1][:, None], outer.shape)
        constant = bh[1] + wh[1] @ shifted.ravel()
        logit = wh[1] @ outer.ravel() + constant
        of_inner = share(outer.ravel(), wh[1], constant, logit).reshape(outer.shape)

        expected = np.zeros_like(image)
        for channel in range(4):
            constant = b + w.sum(1) * shifts[0][channel]
            for place in range(n_places):
                relevance = of_inner[channel, place]
                expected[channel] += share(scaled[channel], w[place], constant[place], relevance)
        torch.testing.assert_close(row.double(), torch.tensor(expected), rtol=1e-3, atol=1e-5)


def test_joined_constants_are_a_bias(maps, normal):
    """Coordinates that are joined to the image as a channel."""
    x = normal(2, 1, 5, 5)
    grid = torch.linspace(-1, 1, 25).view(1, 1, 5, 5)

    def joined(self, x):
        return (
            self.stem(torch.cat([x, self.coordinates.expand(len(x), -1, -1, -1)], 1))
            .relu()
            .flatten(1)
        )

    def twin(self, x):
        return (self.image(x) + self.of_grid).relu().flatten(1)

    network = seeded(
        lambda: Written(joined, stem=conv(2), coordinates=grid, head=nn.Linear(100, 3))
    )
    image = conv()
    image.weight.data = network.stem.weight.data[:, :1]
    image.bias.data = network.stem.bias.data
    of_grid = F.conv2d(grid, network.stem.weight[:, 1:], padding=1).detach()
    expected = Written(twin, image=image, of_grid=of_grid, head=network.head)
    composites = ("epsilon", "alpha2_beta1", "epsilon_plus")
    assert_same(maps(network, x, composites), maps(expected, x, composites))


@pytest.mark.parametrize("composite", ["epsilon_plus_flat", "epsilon_gamma_box", "gamma"])
def test_padding_that_is_written_out_is_that_of_the_convolution(
    layers, task, query, method, normal, composite
):
    """Also by the flat rule, for which a padded zero would be an input like any other."""

    def network(*first):
        trunk = nn.Sequential(*first, nn.ReLU(), nn.Flatten())
        return seeded(lambda: layers(trunk, nn.Linear(3 * 36, 2)))

    inner = seeded(lambda: nn.Conv2d(2, 3, 3, padding=1))
    outer = nn.Conv2d(2, 3, 3)
    outer.load_state_dict(inner.state_dict())
    x = normal(2, 2, 6, 6)
    explainer = method("lrp", composite=composite, bias="spread")
    found, expected = (
        explainer.explain(task(one, x), query(x, 1))
        for one in (network(nn.ZeroPad2d(1), outer), network(inner))
    )
    size = float(expected.values.abs().max())
    torch.testing.assert_close(found.values, expected.values, rtol=1e-4, atol=1e-5 * size)
    assert float(found.residual.abs().max()) < 1e-4 * float(
        found.values.abs().flatten(1).sum(1).max()
    )


def test_a_border_of_a_constant_takes_relevance_that_is_not_missing(
    layers, task, query, method, normal
):
    network = seeded(
        lambda: layers(
            nn.Sequential(nn.ConstantPad2d(1, 2.0), nn.MaxPool2d(2), nn.Flatten()),
            nn.Linear(32, 2),
        )
    )
    x = normal(2, 2, 6, 6)
    found = method("lrp", bias="spread").explain(task(network, x), query(x, 1))
    logit = network(x)[:, 1].detach()
    missing = logit - found.values.flatten(1).sum(1)
    assert float(missing.abs().min()) > 0.01 * float(logit.abs().max())
    assert float(found.residual.abs().max()) < 1e-4 * float(found.values.abs().sum())


# --- networks of torchvision ---


def test_relevance_is_conserved_on_networks_as_they_come(task, query, method, normal):
    """In-place and shared activations, bare additions, gates, channels last, layer scale."""
    from torchvision import models

    made = {
        "resnet18": (lambda: models.resnet18(num_classes=3), 32),
        "mobilenet_v3_small": (lambda: models.mobilenet_v3_small(num_classes=3), 32),
        "shufflenet_v2_x0_5": (lambda: models.shufflenet_v2_x0_5(num_classes=3), 32),
    }
    for name, (make, side) in made.items():
        network = networks.seeded(make)
        x = normal(1, 3, side, side)
        logit = network(x)[:, 1]
        for explainer in (method("lrp", bias="spread"), method("deep_taylor")):
            found = explainer.explain(task(network, x), query(x, 1))
            share = found.values.flatten(1).sum(1) / logit
            assert abs(float(share) - 1) < 1e-3, name

"""Relevance propagation against closed forms, conservation, zennit and the gradient."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from zennit import composites, rules, types
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.core import Stabilizer
from zennit.layer import Sum

from gpex_bench.contract import toys
from gpex_bench.contract.cost import counted
from gpex_bench.models.blocks.residual import ResnetModel
from gpex_bench.models.cnn import CnnModel
from gpex_bench.types import Model
from gpex_bench.types.demands import Refused

COMPOSITES = (
    *(
        "epsilon",
        "alpha1_beta0",
        "alpha2_beta1",
        "gamma",
        "epsilon_plus",
        "epsilon_plus_flat",
        "epsilon_gamma_box",
    ),
    *("epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat"),
)
CONSERVED = 1e-3  # share of the logit that stabilisers and float32 may lose


@pytest.fixture
def maximum(layers):
    """max(x1, x2) for x >= 0 as 0.5 [relu(x1 - x2) + relu(x2 - x1) + relu(x1 + x2)]."""
    hidden, head = nn.Linear(2, 3, bias=False), nn.Linear(3, 1, bias=False)
    hidden.weight.data = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    head.weight.data = torch.full((1, 3), 0.5)
    return layers(nn.Sequential(hidden, nn.ReLU()), head)


X = torch.tensor([[3.0, 1.0], [2.0, 2.0], [2.0, 2.001]])


@pytest.mark.parametrize(
    "composite, expected",
    [
        ("alpha1_beta0", [[2.5, 0.5], [1.0, 1.0], [1.0, 1.001]]),
        ("epsilon_plus", [[2.5, 0.5], [1.0, 1.0], [1.0, 1.001]]),
        ("epsilon", [[3.0, 0.0], [1.0, 1.0], [0.0, 2.001]]),
        ("gamma", [[2.864, 0.136], [1.0, 1.0], [0.998, 1.003]]),
        # unit 3 has no negative contribution and pays out once; zennit pays out twice: sum 10 for
        # (3, 1)
        ("alpha2_beta1", [[3.5, -0.5], [1.0, 1.0], [0.9995, 1.0015]]),
        ("epsilon_plus_flat", [[1.5, 1.5], [1.0, 1.0], [1.0005, 1.0005]]),
    ],
)
def test_maximum_of_two_numbers(maximum, task, query, method, composite, expected):
    values = (
        method("lrp", composite=composite, epsilon=1e-9).explain(task(maximum, X), query(X)).values
    )
    torch.testing.assert_close(values, torch.tensor(expected), atol=1e-3, rtol=0)
    if (
        composite != "epsilon"
    ):  # a dead unit that is barely active makes epsilon jump; the sums hold for all
        torch.testing.assert_close(values.sum(1), X.amax(1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "domain, expected",
    [
        ("positive", lambda x: 0.5 * (x - x.flip(1)).clamp(min=0) + 0.5 * x),
        (
            "unbounded",
            lambda x: x.amax(1, keepdim=True).expand(-1, 2) / 2,
        ),  # all squared weights are 1
    ],
)
def test_deep_taylor_of_the_maximum(maximum, task, query, method, normal, domain, expected):
    x = normal(20, 2).abs()
    found = method("deep_taylor", domain=domain).explain(task(maximum, x), query(x))
    torch.testing.assert_close(found.values, expected(x), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.residual, torch.zeros(20), atol=1e-5, rtol=0)


def test_deep_taylor_box_rule_by_hand(maximum, task, query, method):
    """Contributions x w - l w+ - h w- with l = 0 and h = 4 for x = (3, 1): unit 1: (3, 3), unit 3:
    (3, 1).
    """
    x = torch.tensor([[3.0, 1.0], [0.0, 4.0], [4.0, 0.0]])
    values = method("deep_taylor", domain="box").explain(task(maximum, x), query(x[:1])).values
    torch.testing.assert_close(
        values, torch.tensor([[1.0 * 3 / 6 + 2.0 * 3 / 4, 1.0 * 3 / 6 + 2.0 * 1 / 4]])
    )


def test_z_plus_of_the_maximum_is_continuous_and_the_gradient_is_not(maximum, task, query, method):
    z_plus = method("lrp", composite="alpha1_beta0").explain(task(maximum, X), query(X)).values
    gradient = method("gradient_x_input").explain(task(maximum, X), query(X)).values
    assert float((z_plus[2] - z_plus[1]).abs().max()) < 2e-3
    assert float((gradient[2] - gradient[1]).abs().max()) > 0.9


# --- networks with random weights, biases and batch norms ---------------------------------------


def random_norms(model: Model, seed: int = 0) -> Model:
    """Give batch norms statistics and weights that are not those of an identity."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor in (module.running_mean, module.bias.data):
                tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
            for tensor in (module.running_var, module.weight.data):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return model.eval()


class Dense(nn.Module):
    """A layer of a DenseNet: batch norm, ReLU, convolution; its output is joined to its input."""

    def __init__(self, n_in: int, growth: int) -> None:
        super().__init__()
        self.norm, self.relu = nn.BatchNorm2d(n_in), nn.ReLU()
        self.conv = nn.Conv2d(n_in, growth, 3, padding=1, bias=False)

    def forward(self, x):
        return torch.cat([x, self.conv(self.relu(self.norm(x)))], 1)


def dense_trunk() -> nn.Sequential:
    """A small DenseNet; in the order of registration, the batch norm of a layer follows the last
    one's convolution.
    """
    return nn.Sequential(
        *(
            nn.Conv2d(3, 8, 3, padding=1),
            Dense(8, 4),
            Dense(12, 4),
            nn.BatchNorm2d(16),
            nn.Conv2d(16, 8, 1),
        ),
        *(
            nn.AvgPool2d(2),
            Dense(8, 4),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
    )


def mobile_trunk() -> nn.Sequential:
    """Depthwise and pointwise convolutions with ReLU6, strides and batch norms."""
    layers = [nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6()]
    for n_in, n_out in ((8, 16), (16, 16)):
        layers += [
            nn.Conv2d(n_in, n_in, 3, padding=1, groups=n_in, bias=False),
            nn.BatchNorm2d(n_in),
            nn.ReLU6(),
        ]
        layers += [nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out)]
    return nn.Sequential(*layers, nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.fixture(params=["plain", "narrow residual", "wide residual", "dense", "mobile", "table"])
def network(request, layers, normal):
    """A network with random weights and batch norms, and three inputs."""
    image = normal(3, 3, 16, 16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        table = nn.Sequential(
            nn.Linear(6, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Linear(40, 20), nn.ReLU()
        )
        model, x = {
            "plain": lambda: (CnnModel(n_channels=3, width=4, wide=32, n_heads=3), image),
            "narrow residual": lambda: (
                ResnetModel(n_channels=3, width=8, wide=64, n_heads=3),
                image,
            ),
            "wide residual": lambda: (
                ResnetModel(n_channels=3, width=32, wide=64, n_heads=3),
                image,
            ),
            "dense": lambda: (layers(dense_trunk(), nn.Linear(12, 3)), image),
            "mobile": lambda: (layers(mobile_trunk(), nn.Linear(16, 3)), image),
            "table": lambda: (layers(table, nn.Linear(20, 3)), normal(3, 6)),
        }[request.param]()
    return random_norms(model), x


def logits(asked, wanted):
    with torch.no_grad():
        return asked.model(wanted.x).gather(1, wanted.target[:, None])[:, 0]


def share(explainer, asked, wanted):
    """Return the sum of the relevance over the logit, after checking what the explanation says of
    it.
    """
    found, logit = explainer.explain(asked, wanted), logits(asked, wanted)
    total = found.values.flatten(1).sum(1)
    size = float(found.values.abs().flatten(1).sum(1).max())
    torch.testing.assert_close(found.residual, logit - total, atol=1e-5 * size, rtol=1e-4)
    return total / logit


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("bias", ["ignored", "spread"])
def test_relevance_without_biases_sums_to_the_logit(network, task, query, method, composite, bias):
    model, x = network
    if (composite, bias) == ("epsilon", "ignored"):
        pytest.skip("sums without their biases may cancel; `spread` does not divide by them")
    asked, wanted = task(model, x), query(x, torch.tensor([0, 1, 2]))
    kept = share(method("lrp", composite=composite, bias=bias), asked, wanted)
    torch.testing.assert_close(kept, torch.ones(3), atol=CONSERVED, rtol=0)


@pytest.mark.parametrize("domain", ["box", "unbounded", "positive"])
def test_deep_taylor_sums_to_the_logit_and_keeps_one_sign(network, task, query, method, domain):
    model, x = network
    asked, wanted = task(model, x), query(x, torch.tensor([0, 1, 2]))
    explainer = method("deep_taylor", domain=domain)
    torch.testing.assert_close(
        share(explainer, asked, wanted), torch.ones(3), atol=CONSERVED, rtol=0
    )
    signs = explainer.explain(asked, wanted).values.flatten(1) * logits(asked, wanted)[:, None]
    assert float(signs.min()) >= 0


def test_biases_keep_their_share_unless_told_otherwise(network, task, query, method):
    model, x = network
    kept = share(method("lrp", composite="alpha1_beta0"), task(model, x), query(x, 1))
    assert float((kept - 1).abs().min()) > 10 * CONSERVED


def test_epsilon_is_gradient_x_input_and_stable(network, task, query, method):
    """Known identity for piecewise-linear networks: max pooling, residual adds, unfolded batch
    norms and all.
    """
    model, x = network
    if any(isinstance(module, nn.ReLU6) for module in model.modules()):
        pytest.skip("ReLU6 is constant above 6")
    asked, wanted = task(model, x), query(x, 1)
    relevance = method("lrp", composite="epsilon", epsilon=1e-9).explain(asked, wanted).values
    expected = method("gradient_x_input").explain(asked, wanted).values
    torch.testing.assert_close(
        relevance, expected, atol=1e-3 * float(expected.abs().max()), rtol=1e-3
    )


def test_tiny_activations_conserve_as_large_ones_do(layers, task, query, method, normal):
    """A stabiliser with a size of its own would take it all."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = layers(
            nn.Sequential(
                nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten()
            ),
            None,
        )
        model.head = nn.Linear(4 * 16, 2)
    for module in (model.trunk[0], model.trunk[2]):
        module.weight.data *= 1e-6
        module.bias.data *= 0
    x = normal(2, 1, 8, 8).abs()
    kept = share(
        method("lrp", composite="alpha1_beta0", bias="ignored"), task(model, x), query(x, 1)
    )
    torch.testing.assert_close(kept, torch.ones(2), atol=CONSERVED, rtol=0)


def test_large_epsilon_absorbs(task, query, method, layers, normal):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = layers(
            nn.Sequential(nn.Linear(6, 40, bias=False), nn.ReLU()), nn.Linear(40, 3, bias=False)
        )
    x = normal(4, 6)
    kept = [
        share(method("lrp", composite="epsilon", epsilon=e), task(model, x), query(x, 2))
        for e in (1e-9, 0.25, 1e6)
    ]
    torch.testing.assert_close(kept[0], torch.ones(4), atol=CONSERVED, rtol=0)
    assert float((kept[1] - 1).abs().min()) > 0.01
    assert float(kept[2].abs().max()) < 1e-3


# --- zennit -------------------------------------------------------------------------------------


def by_zennit(model, x, target, composite):
    with torch.no_grad():
        logit = model(x).gather(1, target[:, None])
    x = x.clone().requires_grad_()
    with composite.context(model) as modified:
        output = modified(x)
        start = torch.zeros_like(output).scatter_(1, target[:, None], logit)
        return torch.autograd.grad(output, x, start)[0]


@pytest.mark.parametrize("bias", ["absorbs", "ignored"])
@pytest.mark.parametrize("composite", COMPOSITES[1:])
@pytest.mark.parametrize("name", ["plain", "residual"])
def test_zennits_values_where_nothing_is_lost(task, query, method, normal, name, composite, bias):
    """Non-negative images and wide layers: nearly every unit with relevance has contributions of
    both signs.
    """
    if "gamma" in composite and bias == "ignored":
        pytest.skip(
            "zennit takes the sign of a unit with its bias, and divides by a sum without it, "
            "which may cancel"
        )
    if "alpha2" in composite and name == "residual":
        pytest.skip("zennit does not conserve there, which the next test shows")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = (
            CnnModel(3, 8, 32, 3) if name == "plain" else random_norms(ResnetModel(3, 16, 32, 3))
        )
    x = normal(3, 3, 16, 16).abs()
    target = torch.tensor([0, 1, 2])
    asked = task(model.requires_grad_(False), x)
    policy = {"zero_params": ["bias"] if bias == "ignored" else None}
    low, high = torch.zeros(1, 3, 1, 1), x.amax((0, 2, 3), keepdim=True)
    tight = {"stabilizer": 1e-12, **policy}
    plus, both = rules.ZPlus(**tight), rules.AlphaBeta(alpha=2, beta=1, **tight)
    gamma = rules.Gamma(gamma=0.25, **tight)
    epsilon = rules.Epsilon(epsilon=Stabilizer(1e-6, norm_scale=True), **policy)
    lower = next(
        rule
        for key, rule in (("plus", plus), ("h2", both), ("gamma", gamma), ("h1", plus))
        if key in composite.replace("alpha", "h")
    )
    first = {"flat": rules.Flat(stabilizer=1e-12), "box": rules.ZBox(low, high, **tight)}
    layer_map = [
        *composites.layer_map_base(1e-12),
        (types.Convolution, lower),
        (nn.Linear, epsilon if composite.startswith("epsilon") else lower),
    ]
    special = [(types.Linear, first[word]) for word in first if composite.endswith(word)]
    oracle = composites.SpecialFirstLayerMapComposite(
        layer_map, special, canonizers=[SequentialMergeBatchNorm()]
    )
    expected = by_zennit(model, x, target, oracle)
    values = method("lrp", composite=composite, bias=bias).explain(asked, query(x, target)).values
    off = (values - expected).abs().flatten(1).sum(1) / expected.abs().flatten(1).sum(1)
    assert float(off.max()) < 2e-3


def test_zennits_alpha2_beta1_does_not_conserve_on_a_residual_network_and_ours_does(
    task, query, method, normal
):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = random_norms(ResnetModel(3, 8, 32, 3)).requires_grad_(False)
    x, target = normal(3, 3, 16, 16).abs(), torch.tensor([0, 1, 2])
    both = rules.AlphaBeta(alpha=2, beta=1, stabilizer=1e-12, zero_params=["bias"])
    layer_map = [*composites.layer_map_base(1e-12), (types.Linear, both)]
    asked, wanted = task(model, x), query(x, target)
    theirs = by_zennit(
        model,
        x,
        target,
        composites.LayerMapComposite(layer_map, canonizers=[SequentialMergeBatchNorm()]),
    )
    assert float((theirs.flatten(1).sum(1) / logits(asked, wanted) - 1).abs().max()) > 5 * CONSERVED
    kept = share(method("lrp", composite="alpha2_beta1", bias="ignored"), asked, wanted)
    torch.testing.assert_close(kept, torch.ones(3), atol=CONSERVED, rtol=0)


def test_zennit_pays_out_twice_where_there_is_nothing_negative(maximum, task, query, method):
    oracle = composites.LayerMapComposite([(nn.Linear, rules.AlphaBeta(alpha=2, beta=1))])
    theirs = by_zennit(maximum, X[:1], torch.tensor([0]), oracle)
    torch.testing.assert_close(theirs, torch.tensor([[10.0, 0.0]]), atol=1e-3, rtol=0)


# --- reading networks ---------------------------------------------------------------------------


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("order", ["convolution first", "norm first"])
def test_batch_norm_is_folded_into_the_linear_layer_beside_it(
    layers, task, query, method, normal, composite, order
):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolution, head = nn.Conv2d(2, 5, 3), nn.Linear(80, 3)
        norm = nn.BatchNorm2d(5 if order == "convolution first" else 2)
    pair = (convolution, norm) if order == "convolution first" else (norm, convolution)
    normed = random_norms(layers(nn.Sequential(*pair, nn.ReLU(), nn.Flatten()), head))
    scale = norm.weight.data / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias.data - norm.running_mean * scale
    folded = nn.Conv2d(2, 5, 3)
    if order == "convolution first":
        folded.weight.data = convolution.weight.data * scale[:, None, None, None]
        folded.bias.data = convolution.bias.data * scale + shift
    else:
        folded.weight.data = convolution.weight.data * scale[:, None, None]
        folded.bias.data = convolution.bias.data + torch.einsum(
            "oihw,i->o", convolution.weight.data, shift
        )
    x = normal(3, 2, 6, 6)
    with_norm, without = (
        method("lrp", composite=composite).explain(task(model, x), query(x, 1)).values
        for model in (normed, layers(nn.Sequential(folded, nn.ReLU(), nn.Flatten()), head))
    )
    torch.testing.assert_close(
        with_norm, without, rtol=1e-3, atol=1e-4 * float(without.abs().max())
    )


def test_batch_norm_is_not_folded_into_what_something_else_reads(
    layers, task, query, method, normal
):
    """The stem of a network with pre-activation: its output goes to a batch norm and round it."""

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.relu, self.add = nn.BatchNorm2d(4), nn.ReLU(), Sum(dim=1)
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            return self.add(torch.stack([x, self.conv(self.relu(self.norm(x)))], 1))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = layers(
            nn.Sequential(nn.Conv2d(1, 4, 3), Skip(), nn.ReLU(), nn.Flatten()), nn.Linear(144, 2)
        )
    x = normal(2, 1, 8, 8)
    asked, wanted = task(random_norms(model), x), query(x, 1)
    expected = method("gradient_x_input").explain(asked, wanted).values
    values = method("lrp", composite="epsilon", epsilon=1e-9).explain(asked, wanted).values
    torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    kept = share(method("lrp", bias="ignored"), asked, wanted)
    torch.testing.assert_close(kept, torch.ones(2), atol=CONSERVED, rtol=0)


def test_batch_norm_without_statistics_is_refused(layers, task, query, method, normal):
    model = layers(
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False)),
        nn.Linear(4, 2),
    )
    x = normal(5, 3)
    with pytest.raises(Refused, match=r"The batch norm in trunk\.1 .* normalises by the batch"):
        method("lrp").explain(task(model, x), query(x))


class Bare(nn.Module):
    """A layer that does something with its input and a linear layer's output."""

    def __init__(self, what):
        super().__init__()
        self.what, self.inner = what, nn.Linear(4, 4)

    def forward(self, x):
        return self.what(x, self.inner(x))


@pytest.mark.parametrize(
    "what, message",
    [
        (lambda x, y: y.cumsum(1), r"operation 'cumsum' in trunk\.1 \(Bare\)"),
        (lambda x, y: x / y, r"operation 'Divide' in trunk\.1 \(Bare\); only division by a dev"),
        (lambda x, y: y.log_softmax(1), r"operation 'LogSoftmax' in trunk\.1 \(Bare\)"),
        (lambda x, y: torch.fft.fft(y).real, r"operation '.*' in trunk\.1 \(Bare\)"),
        (lambda x, y: torch.cosine_similarity(x, y)[:, None].expand(-1, 4), r"cosine_similarity"),
    ],
)
def test_unknown_operations_are_refused_by_name(layers, task, query, method, normal, what, message):
    x = normal(2, 3)
    model = layers(nn.Sequential(nn.Linear(3, 4), Bare(what), nn.ReLU()), nn.Linear(4, 2))
    for name in ("lrp", "deep_taylor"):
        with pytest.raises(Refused, match=message):
            method(name).explain(task(model, x), query(x))


@pytest.mark.parametrize(
    "mean",
    [
        lambda x: x.mean((2, 3)),
        lambda x: torch.mean(x, dim=(2, 3)),
        lambda x: functional.adaptive_avg_pool2d(x, 1).flatten(1),
        lambda x: functional.avg_pool2d(x, 6).flatten(1),
    ],
)
@pytest.mark.parametrize("composite", COMPOSITES)
def test_a_mean_that_is_called_shares_like_its_module(
    layers, task, query, method, normal, mean, composite
):
    class Called(nn.Module):
        def forward(self, x):
            return mean(x)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trunk, head = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), nn.Linear(4, 2)
    x = normal(2, 1, 8, 8)
    called, registered = (
        method("lrp", composite=composite).explain(
            task(layers(nn.Sequential(*trunk, *last), head), x), query(x, 1)
        )
        for last in ([Called()], [nn.AdaptiveAvgPool2d(1), nn.Flatten()])
    )
    torch.testing.assert_close(called.values, registered.values)
    assert float(registered.values.flatten(1).std(1).min()) > 0


def test_functions_that_move_values_are_let_through(layers, task, query, method, normal):
    class Moves(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.relu = nn.Conv2d(1, 4, 3), nn.ReLU()

        def forward(self, x):
            y = self.relu(self.conv(functional.pad(x, (1, 1, 1, 1))))
            left, right = functional.max_pool2d(y, 2).chunk(2, 1)
            return torch.cat([right, left.transpose(2, 3)], 1).flatten(1)

    model = layers(Moves(), nn.Linear(64, 2))
    x = normal(2, 1, 8, 8)
    asked, wanted = task(model, x), query(x, 1)
    kept = share(method("lrp", composite="alpha1_beta0", bias="ignored"), asked, wanted)
    torch.testing.assert_close(kept, torch.ones(2), atol=CONSERVED, rtol=0)


def test_activations_in_place_do_no_harm(layers, task, query, method, normal):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = layers(nn.Sequential(nn.Linear(3, 8), nn.ReLU()), nn.Linear(8, 2))
    x = normal(4, 3)
    expected = method("lrp").explain(task(model, x), query(x)).values
    model.trunk[1].inplace = True
    assert torch.equal(method("lrp").explain(task(model, x), query(x)).values, expected)
    assert model.trunk[1].inplace


def test_constant_network_has_no_relevance(layers, task, query, method, normal):
    model = layers(nn.Sequential(nn.Linear(3, 8), nn.ReLU()), nn.Linear(8, 2))
    model.head.weight.data *= 0
    model.head.bias.data.fill_(2.0)
    x = normal(4, 3)
    for composite in COMPOSITES:
        found = method("lrp", composite=composite).explain(task(model, x), query(x))
        assert float(found.values.abs().max()) == 0  # the bias takes it all
        torch.testing.assert_close(found.residual, torch.full((4,), 2.0))
    found = method("deep_taylor").explain(task(model, x), query(x))
    torch.testing.assert_close(
        found.values.sum(1), torch.full((4,), 2.0)
    )  # nothing to share by: evenly


# --- filtering, cost, range ---------------------------------------------------------------------


def test_filtered_relevance_of_all_channels_adds_up(task, query, method, normal):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CnnModel(n_channels=1, width=4, wide=16, n_heads=3)
    x = normal(3, 1, 12, 12)
    asked, wanted = task(model, x), query(x, 1)
    whole = method("lrp").explain(asked, wanted).values
    parts = [
        method("lrp", through="trunk.4", channels=channels).explain(asked, wanted)
        for channels in ((0, 3), (1, 2, 4, 5, 6, 7))
    ]
    torch.testing.assert_close(parts[0].values + parts[1].values, whole, atol=1e-6, rtol=1e-4)
    assert float(parts[0].values.abs().max()) > 0
    torch.testing.assert_close(
        parts[0].residual, logits(asked, wanted) - parts[0].values.flatten(1).sum(1)
    )


def test_impossible_filters_are_refused(task, query, method, normal):
    model = CnnModel(n_channels=1, width=4, wide=16, n_heads=3)
    x = normal(1, 1, 12, 12)
    with pytest.raises(ValueError, match=r"channels must be between 0 and 7, got \[8\]"):
        method("lrp", through="trunk.4", channels=(8,)).explain(task(model, x), query(x))
    with pytest.raises(
        ValueError, match=r"module must be one of trunk, trunk\.0, .* got 'trunk\.40'"
    ):
        method("lrp", through="trunk.40", channels=(1,)).explain(task(model, x), query(x))
    with pytest.raises(ValueError, match="through and channels"):
        method("lrp", through="trunk.4")


def test_box_rule_gives_relevance_to_black_pixels_and_z_plus_does_not(task, query, method, normal):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CnnModel(n_channels=1, width=4, wide=16, n_heads=3)
    x = normal(3, 1, 12, 12).abs()
    x[:, :, :6] = 0
    asked, wanted = task(model, x), query(x, 1)
    assert float(method("lrp").explain(asked, wanted).values[:, :, :6].abs().max()) == 0
    box = method("lrp", composite="epsilon_gamma_box").explain(asked, wanted).values
    assert float(box[:, :, :5].abs().max()) > 0


def test_network_is_untouched_and_rows_are_counted(task, query, method, normal):
    resnet = random_norms(ResnetModel(3, 8, 16, 3))
    x = normal(70, 3, 8, 8)  # more than go through together
    before = {name: tensor.clone() for name, tensor in resnet.state_dict().items()}
    asked, wanted = task(resnet, x), query(x, 1)
    with counted(resnet) as cost:
        found = method("lrp").explain(asked, wanted)
    assert (cost.forward, cost.backward) == (70, 70)
    assert all(torch.equal(tensor, before[name]) for name, tensor in resnet.state_dict().items())
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in resnet.modules()
    )
    last = method("lrp").explain(asked, query(x[-2:], 1)).values
    torch.testing.assert_close(found.values[-2:], last, rtol=1e-3, atol=1e-5)


def test_composites_differ(method):
    for kind, asked, wanted in toys.tasks(toys.Smooth):
        maps = {
            name: method("lrp", composite=name).explain(asked, wanted).values for name in COMPOSITES
        }
        for name, one in maps.items():
            for other in list(maps)[: list(maps).index(name)]:
                if name.endswith("flat") and other.endswith("flat"):
                    continue  # one layer that is not epsilon, and it is the first one
                assert float((one - maps[other]).abs().max()) > 1e-3 * float(one.abs().max()), (
                    kind,
                    name,
                    other,
                )


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"composite": "alpha"}, "composite must be one of 'epsilon', .* got 'alpha'"),
        ({"bias": "kept"}, "bias must be one of 'absorbs', 'ignored', 'spread', got 'kept'"),
        ({"epsilon": -1.0}, "epsilon must be at least 0, got -1"),
        ({"gamma": -0.5}, "gamma must be at least 0, got -0.5"),
    ],
)
def test_impossible_settings_are_refused(method, parameters, message):
    with pytest.raises(ValueError, match=message):
        method("lrp", **parameters)
    with pytest.raises(
        ValueError, match="domain must be auto, box, unbounded or positive, got 'real'"
    ):
        method("deep_taylor", domain="real")

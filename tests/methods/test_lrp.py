"""LRP against closed forms, conservation and the gradient."""

import pytest
import torch
from torch import nn

from gpex_bench import toys
from gpex_bench.budget import counted
from gpex_bench.models.cnn import CnnModel
from gpex_bench.models.residual import ResnetModel
from gpex_bench.types import Model

COMPOSITES = ("epsilon", "epsilon_plus", "epsilon_plus_flat", "epsilon_gamma_box")
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
        ("epsilon_plus", [[2.5, 0.5], [1.0, 1.0], [1.0, 1.001]]),
        ("epsilon", [[3.0, 0.0], [1.0, 1.0], [0.0, 2.001]]),
    ],
)
def test_maximum_of_two_numbers(maximum, task, query, method, composite, expected):
    values = method("lrp", composite=composite, epsilon=1e-9).explain(task(maximum, X), query(X)).values
    torch.testing.assert_close(values, torch.tensor(expected), atol=1e-4, rtol=0)


def test_z_plus_of_the_maximum_is_continuous_and_the_gradient_is_not(maximum, task, query, method, normal):
    x = normal(20, 2).abs()
    expected = 0.5 * (x - x.flip(1)).clamp(min=0) + 0.5 * x
    values = method("lrp").explain(task(maximum, x), query(x)).values
    torch.testing.assert_close(values, expected, atol=1e-3, rtol=0)
    gradient = method("gradient_x_input").explain(task(maximum, X), query(X)).values
    assert float((gradient[2] - gradient[1]).abs().max()) > 0.9


def random_norms(model: Model, seed: int = 0) -> Model:
    """Give batch norms statistics and weights that are not those of an identity."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.copy_(0.3 * torch.randn(tensor.shape, generator=generator))
            for tensor in (module.running_var, module.weight.data):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return model


@pytest.fixture
def resnet():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return random_norms(ResnetModel(n_channels=3, width=32, wide=64, n_heads=3))


def share(explainer, asked, wanted):
    """Return the sum of the relevance over the logit."""
    with torch.no_grad():
        logit = asked.model(wanted.x).gather(1, wanted.target[:, None])[:, 0]
    return explainer.explain(asked, wanted).values.flatten(1).sum(1) / logit


@pytest.mark.parametrize("composite", COMPOSITES[1:])  # epsilon everywhere divides by sums that nearly cancel
def test_residual_network_with_batch_norm_conserves_the_logit(resnet, task, query, method, normal, composite):
    x = normal(3, 3, 16, 16)
    asked, wanted = task(resnet, x), query(x, torch.tensor([0, 1, 2]))
    kept = share(method("lrp", composite=composite, zero_bias=True), asked, wanted)
    torch.testing.assert_close(kept, torch.ones(3), atol=CONSERVED, rtol=0)


def test_biases_keep_their_share_unless_told_otherwise(resnet, task, query, method, normal):
    x = normal(3, 3, 16, 16)
    kept = share(method("lrp"), task(resnet, x), query(x, 1))
    assert float((kept - 1).abs().min()) > 10 * CONSERVED


class Sum(nn.Module):
    """The convention for residual adds: a registered module of this name."""

    def forward(self, x):
        return x.sum(1)


class Plus(nn.Module):
    """A sum that no composite knows."""

    def forward(self, x):
        return x.sum(1)


@pytest.mark.parametrize("add, conserves", [(Sum, True), (Plus, False)])
def test_residual_sums_are_recognised_by_their_name(resnet, task, query, method, normal, add, conserves):
    for module in list(resnet.modules()):
        if hasattr(module, "add"):
            module.add = add()
    x = normal(2, 3, 16, 16)
    kept = share(method("lrp", zero_bias=True), task(resnet, x), query(x, 1))
    if conserves:
        torch.testing.assert_close(kept, torch.ones(2), atol=CONSERVED, rtol=0)
    else:
        assert float(kept.min()) > 2  # each of the eight blocks pays out twice


@pytest.mark.parametrize("composite", COMPOSITES)
def test_batch_norm_is_folded_into_the_layer_before_it(layers, task, query, method, normal, composite):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        convolution, norm, head = nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.Linear(80, 3)
    normed = random_norms(layers(nn.Sequential(convolution, norm, nn.ReLU(), nn.Flatten()), head)).eval()
    scale = norm.weight.data / (norm.running_var + norm.eps).sqrt()
    folded = nn.Conv2d(2, 5, 3)
    folded.weight.data = convolution.weight.data * scale[:, None, None, None]
    folded.bias.data = (convolution.bias.data - norm.running_mean) * scale + norm.bias.data
    x = normal(3, 2, 6, 6)
    with_norm, without = (
        method("lrp", composite=composite).explain(task(model, x), query(x, 1)).values
        for model in (normed, layers(nn.Sequential(folded, nn.ReLU(), nn.Flatten()), head))
    )
    torch.testing.assert_close(with_norm, without, rtol=1e-3, atol=1e-4 * float(without.abs().max()))


@pytest.mark.parametrize("composite", COMPOSITES)
def test_table_network_conserves_the_logit(layers, task, query, method, normal, composite):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = layers(nn.Sequential(nn.Linear(6, 40), nn.BatchNorm1d(40), nn.ReLU()), nn.Linear(40, 3))
    x = normal(4, 6)
    kept = share(method("lrp", composite=composite, zero_bias=True), task(model, x), query(x, 2))
    torch.testing.assert_close(kept, torch.ones(4), atol=CONSERVED, rtol=0)


def test_epsilon_rule_is_gradient_x_input(task, query, method, normal):
    """Known identity for ReLU networks; max pooling included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CnnModel(n_channels=1, width=4, wide=16, n_heads=3)
    x = normal(3, 1, 12, 12)
    asked, wanted = task(model, x), query(x, 1)
    relevance = method("lrp", composite="epsilon", epsilon=1e-9).explain(asked, wanted).values
    expected = method("gradient_x_input").explain(asked, wanted).values
    torch.testing.assert_close(relevance, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-3)


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


def test_network_is_untouched_and_rows_are_counted(resnet, task, query, method, normal):
    x = normal(2, 3, 16, 16)
    before = {name: tensor.clone() for name, tensor in resnet.state_dict().items()}
    with counted(resnet) as cost:
        method("lrp").explain(task(resnet, x), query(x, 1))
    assert (cost.forward, cost.backward) == (2, 2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in resnet.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in resnet.modules())


def test_composites_differ(method):
    for kind, asked, wanted in toys.tasks(toys.Smooth):
        maps = [method("lrp", composite=composite).explain(asked, wanted).values for composite in COMPOSITES]
        for i, one in enumerate(maps):
            for other in maps[:i]:
                assert float((one - other).abs().max()) > 1e-3 * float(one.abs().max()), kind


def test_unknown_composites_are_refused(method):
    with pytest.raises(ValueError, match="composite must be one of epsilon, epsilon_plus, .* got 'alpha'"):
        method("lrp", composite="alpha")

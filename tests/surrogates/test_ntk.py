"""Projected gradients: their inner products approach those of the true gradients."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from gpex_bench.surrogates.gp.tangent import Projection, Tangent, layers
from gpex_bench.surrogates.ntk import Ntk, allot
from gpex_bench.types import Progress


@pytest.fixture(scope="module")
def network(tiny):
    def make():
        trunk = nn.Sequential(
            nn.Conv2d(2, 6, 3, stride=2, padding=1),
            nn.BatchNorm2d(6),
            nn.Softplus(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 5, 2, bias=False),
            nn.ReLU(),
        )
        model = tiny.Tiny(trunk, 5, 3)
        nn.init.normal_(trunk[1].running_mean)
        nn.init.normal_(trunk[1].weight)
        return model

    return tiny.seeded(make)


def true_gradients(network, x):
    """Return the gradients of every output by all weights, [batch, head, weight]."""
    weights = dict(network.named_parameters())
    jacobian = jacrev(lambda weights: functional_call(network, weights, x))(weights)
    return torch.cat([part.flatten(2) for part in jacobian.values()], -1)


def error(network, x, dim, entries, is_shared):
    """Return the relative error of the kernel of `dim` projections."""
    g = true_gradients(network, x)
    if is_shared:
        g = g.sum(1, keepdim=True) / 3**0.5
    counts = torch.full((4,), dim // 4)
    u = Tangent(network, counts, g.shape[1], Projection(5, entries, is_shared))(x)
    kernel, true = (torch.einsum("agd,bgd->gab", part, part) for part in (u, g))
    return float((kernel - true).norm() / true.norm())


@pytest.mark.parametrize("entries", ["rademacher", "gaussian"])
@pytest.mark.parametrize("is_shared", [True, False])
def test_inner_products_approach_the_true_kernel(entries, is_shared, network):
    x = torch.randn(5, 2, 12, 12, generator=torch.Generator().manual_seed(1))
    few = error(network, x, 400, entries, is_shared)
    many = error(network, x, 160_000, entries, is_shared)
    assert many < 0.02
    assert many < few / 4  # in expectation a twentieth


def test_every_layer_counts(network):
    x = torch.randn(3, 2, 12, 12, generator=torch.Generator().manual_seed(1))
    weights = dict(network.named_parameters())
    jacobian = jacrev(lambda weights: functional_call(network, weights, x))(weights)
    owners = [
        ("trunk.0.weight", "trunk.0.bias"),
        ("trunk.1.weight", "trunk.1.bias"),
        ("trunk.4.weight",),
    ]
    owners.append(("head.weight", "head.bias"))
    features = Tangent(network, torch.full((4,), 40_000), 3, Projection(0, "rademacher", False))
    for u, names in zip(features.by_layer(x), owners, strict=True):
        g = torch.cat([jacobian[name].flatten(2) for name in names], -1)
        torch.testing.assert_close(u.square().sum(-1), g.square().sum(-1), rtol=0.1, atol=1e-4)


def test_gradients_of_inputs_pass_and_chunks_do_not_matter(tiny):
    model, data = tiny.table()
    features = Tangent(model, torch.tensor([9, 9]), 3, Projection(0, "rademacher", False))
    x = data.train.x[:100].clone().requires_grad_(True)
    u = features(x)
    torch.testing.assert_close(u[70:80], features(x[70:80]))
    (slope,) = torch.autograd.grad(u[3].sum(), x)
    assert slope[3].abs().max() > 0 and slope[4:].abs().max() == 0
    with torch.no_grad():
        assert not features(data.train.x[:2]).requires_grad


def test_layers_that_do_not_matter_get_no_directions(tiny):
    model, data = tiny.attention()
    surrogate = Ntk(dim=30).fit(model, data, 0, Progress())
    names = [name for name, module in model.named_modules() if module in layers(model)]
    counts = dict(zip(names, surrogate.features.counts.tolist(), strict=True))
    assert (
        counts["head"] == 0 and min(counts["trunk.0"], counts["attend.0"], counts["attend.2"]) > 0
    )
    assert sum(counts.values()) == 30


def test_shares_become_whole_numbers():
    assert allot(10, torch.tensor([1.0, 1.0, 1.0])).tolist() == [4, 3, 3]
    assert allot(4, torch.tensor([0.0, 3.0, 1.0])).tolist() == [0, 3, 1]
    assert allot(5, torch.zeros(2)).tolist() == [3, 2]


def test_layers_of_another_kind_are_refused(tiny):
    model, data = tiny.table()
    model.trunk.append(nn.LayerNorm(32))
    with pytest.raises(
        ValueError, match=r"ntk can project gradients of Linear, .* got trunk.2: LayerNorm"
    ):
        Ntk().fit(model, data, 0, Progress())


def test_a_state_of_other_sizes_is_refused(fitted):
    model, data, surrogate = fitted("table", Ntk(dim=60))
    with pytest.raises(ValueError, match="its 60 numbers are of 2 layers"):
        Ntk(dim=61).restore(model, data, surrogate.state_dict())

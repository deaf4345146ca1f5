"""The quick copy of a network: the same outputs, the same counted rows, unseen by hooks."""

import copy

import pytest
import torch
from torch import nn

from gpex_bench.contract.cost import counted
from gpex_bench.models.rewriting.quick import LEAST_ROWS, quick

X = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Residual(nn.Module):
    """Every pattern that is joined, and neighbours of them that must not be."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.stem_norm = nn.BatchNorm2d(6)
        self.inner = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.inner_norm = nn.BatchNorm2d(6)
        self.norm_first = nn.BatchNorm2d(6)
        self.read_twice = nn.Conv2d(6, 6, 1)
        self.twice_norm = nn.BatchNorm2d(6)
        self.reflected = nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect")
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(96, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = torch.relu(x + self.inner_norm(self.inner(x)))
        x = self.norm_first(x)
        once = self.read_twice(x)
        x = torch.relu(self.twice_norm(once)) + torch.relu(once)
        x = torch.relu(self.reflected(x) - 2 * x)
        return self.head(self.pool(x).flatten(1))


@pytest.fixture
def network() -> nn.Module:
    """A network in eval mode whose batch norms have means, variances and slopes of their own."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Residual()
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                    tensor.data.uniform_(0.5, 1.5)
    return made.eval().requires_grad_(False)


def test_outputs_agree_to_rounding(network):
    ask = quick(network, X, LEAST_ROWS)
    assert ask is not network

    with torch.no_grad():
        expected = network(X)
        torch.testing.assert_close(ask(X), expected, rtol=1e-6, atol=1e-6)


def test_rows_are_counted_as_the_networks_own(network):
    with counted(network) as rows, torch.no_grad():
        ask = quick(network, X, LEAST_ROWS)
        assert rows.forward == 0
        ask(X)
        ask(X[:2])
    assert rows.forward == 8


def test_the_network_is_as_it_was(network):
    before = copy.deepcopy(network)
    with torch.no_grad():
        quick(network, X, LEAST_ROWS)(X)

    assert [type(module) for module in network.modules()] == [
        type(module) for module in before.modules()
    ]
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before.state_dict()[name])
    x = X.clone().requires_grad_()
    network(x).sum().backward()
    assert x.grad is not None


def test_other_weights_give_another_copy(network):
    with torch.no_grad():
        before = quick(network, X, LEAST_ROWS)(X)
        network.stem.weight.mul_(2)
        after = quick(network, X, LEAST_ROWS)(X)
        torch.testing.assert_close(after, network(X), rtol=1e-6, atol=1e-6)
    assert not torch.allclose(before, after)


def test_hooks_see_every_row(network):
    seen = []
    handle = network.stem.register_forward_hook(lambda *_: seen.append(1))
    with torch.no_grad():
        quick(network, X, LEAST_ROWS)(X)
    handle.remove()
    assert seen == [1]


def test_few_rows_and_tables_are_asked_directly(network):
    table = nn.Sequential(nn.Linear(4, 2)).eval()
    assert quick(table, torch.zeros(3, 4), LEAST_ROWS) is table

    network.pool = nn.AvgPool2d(2)
    assert quick(network, X, LEAST_ROWS - 1) is network


def test_a_network_that_cannot_be_followed_is_asked_itself(network):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network

        def forward(self, x):
            return self.inner(x) * (1.0 if float(x.detach().sum()) > 0 else -1.0)

    odd = Odd().eval()
    with torch.no_grad():
        ask = quick(odd, X, LEAST_ROWS)
        assert torch.equal(ask(-X), odd(-X))

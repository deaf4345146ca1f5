"""Networks as people write them: right values by closed forms, and one function written two ways."""

import pytest
import torch
from torch import nn

from gpex_bench.types import Model
from gpex_bench.types.demands import Refused

COMPOSITES = ("epsilon", "alpha1_beta0", "alpha2_beta1", "gamma", "epsilon_plus")


class Branches(Model):
    """A layer, another layer of its output, and what joins them; then the head."""

    def __init__(self, join, width=4):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.head = nn.Linear(width, 2)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        self.join = join

    def embed(self, x):
        a = self.first(x).relu()
        return self.join(a, self.second(a))


def minus(a, b):
    return a - b


def plus_negative(a, b):
    return a + (-1) * b


class Sum(nn.Module):
    """Adds a list, weighted: not the addition of that name in other packages."""

    def forward(self, values, weights=(1.0, -1.0)):
        return sum(weight * value for weight, value in zip(weights, values, strict=True))


@pytest.mark.parametrize("composite", COMPOSITES)
def test_a_difference_is_the_sum_with_the_negative(task, query, method, normal, composite):
    x = normal(3, 4)
    total = Sum()
    maps = [
        method("lrp", composite=composite).explain(task(Branches(join), x), query(x)).values
        for join in (minus, plus_negative, lambda a, b: total([a, b]))
    ]
    assert float(maps[0].abs().max()) > 1e-2
    for other in maps[1:]:
        torch.testing.assert_close(other, maps[0], rtol=1e-4, atol=1e-5)


def test_bounds_of_one_branch_are_not_those_of_both(task, query, method, normal):
    """The layer behind reads the input, whose range is known, and a layer, whose range is not."""

    class Beside(Branches):
        def embed(self, x):
            return torch.cat([x, self.first(x)], 1)

    x = normal(3, 4)
    box = method("lrp", composite="epsilon_gamma_box")
    with pytest.raises(Refused, match="bounds"):
        box.explain(task(Beside(None, width=8), x), query(x))


@pytest.mark.parametrize("offset, spread", [(0.0, 1.0), (1e4, 1.0), (300.0, 0.01)])
def test_sobol_shares_of_a_sum_far_from_zero(formula, task, query, method, offset, spread):
    """Of offset + sum w_i x_i, each column has the share w_i^2 (x_i - b_i)^2 of the variance."""
    weight = spread * torch.tensor([1.0, -2.0, 3.0])
    x = torch.tensor([[1.0, 2.0, -1.0]])
    network = formula(lambda x: (offset + x @ weight)[:, None], 1)
    values = method("sobol", budget=4096, output="logit").explain(task(network, x), query(x)).values
    right = (weight * x).square()
    torch.testing.assert_close(values, right / right.sum(), rtol=0, atol=0.03)


def test_relevance_of_an_addition_by_hand(task, query, method):
    """f = (x1 + 2 x2) - (x1 - x2) at (3, 1): 5 and -2 of 3; the layers share by contributions."""

    class Two(Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
            self.a.weight.data = torch.tensor([[1.0, 2.0]])
            self.b.weight.data = torch.tensor([[1.0, -1.0]])
            self.head = nn.Linear(1, 1, bias=False)
            self.head.weight.data = torch.ones(1, 1)

        def embed(self, x):
            return self.a(x) - self.b(x)

    x = torch.tensor([[3.0, 1.0]])
    values = method("lrp", composite="epsilon").explain(task(Two(), x), query(x)).values
    torch.testing.assert_close(values, torch.tensor([[3.0 - 3.0, 2.0 + 1.0]]), atol=1e-4, rtol=0)

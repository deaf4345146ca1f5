"""Gradient methods against derivatives on paper, identities and one another."""

import pytest
import torch
from torch import nn

from gpex_bench import toys
from gpex_bench.budget import counted


def test_sensitivity_of_a_weighted_sum_of_squares(formula, task, query, method, normal):
    weight, x = normal(2, 5), normal(4, 5, seed=1)
    model = formula(lambda x: x.square() @ weight.T, 2)
    target = torch.tensor([0, 1, 1, 0])
    values = method("sensitivity").explain(task(model, x), query(x, target)).values
    torch.testing.assert_close(values, (2 * weight[target] * x).square())


def test_gradient_x_input_of_a_product(formula, task, query, method, normal):
    x = normal(4, 2)
    values = method("gradient_x_input").explain(task(formula(lambda x: x.prod(1, keepdim=True), 1), x), query(x)).values
    torch.testing.assert_close(values, x.prod(1, keepdim=True).expand(-1, 2))  # x dy/dx = xy for both


def test_gradient_x_input_conserves_without_biases(layers, task, query, method, normal):
    model = layers(nn.Sequential(nn.Linear(6, 20, bias=False), nn.ReLU()), nn.Linear(20, 3, bias=False))
    x = normal(5, 6)
    values = method("gradient_x_input").explain(task(model, x), query(x, 2)).values
    torch.testing.assert_close(values.sum(1), model(x)[:, 2].detach())


@pytest.mark.parametrize("offset", [0.0, 0.7])
def test_integrated_gradients_of_a_linear_network(formula, task, query, method, normal, offset):
    weight, x = normal(3, 6), normal(4, 6, seed=1)
    asked = task(formula(lambda x: x @ weight.T, 3), x, baseline=torch.full((6,), offset))
    values = method("integrated_gradients", n_steps=5).explain(asked, query(x, 1)).values
    torch.testing.assert_close(values, weight[1] * (x - offset))
    if offset == 0:
        torch.testing.assert_close(values, method("gradient_x_input").explain(asked, query(x, 1)).values)


def test_integrated_gradients_of_a_product(formula, task, query, method, normal):
    x = normal(4, 2)
    asked = task(formula(lambda x: x.prod(1, keepdim=True), 1), x)
    values = method("integrated_gradients").explain(asked, query(x)).values
    torch.testing.assert_close(values, x.prod(1, keepdim=True).expand(-1, 2) / 2)  # half of xy each


def test_integrated_gradients_are_complete_and_more_so_with_more_steps(method):
    for _, asked, wanted in toys.tasks(toys.Smooth):
        with torch.no_grad():
            logits = asked.model(torch.cat([wanted.x, asked.data.baseline[None]]))
        change = (logits[:-1] - logits[-1]).gather(1, wanted.target[:, None])[:, 0]
        off = []
        for n_steps in (2, 4, 50):
            values = method("integrated_gradients", n_steps=n_steps).explain(asked, wanted).values
            off.append(float((values.flatten(1).sum(1) - change).abs().max()))
        assert off[0] >= off[1] > off[2] - 1e-6
        assert off[2] < 1e-5


@pytest.mark.parametrize("name, rows", [("sensitivity", 1), ("gradient_x_input", 1), ("integrated_gradients", 50)])
def test_cost(method, name, rows):
    _, asked, wanted = next(toys.tasks(toys.Smooth))
    with counted(asked.model) as cost:
        method(name).explain(asked, wanted)
    assert (cost.forward, cost.backward) == (rows * len(wanted.x), rows * len(wanted.x))


def test_gradients_are_taken_even_where_they_are_switched_off(method):
    _, asked, wanted = next(toys.tasks(toys.Smooth))
    for name in ("sensitivity", "gradient_x_input", "integrated_gradients", "lrp"):
        expected = method(name).explain(asked, wanted).values
        with torch.no_grad():
            assert torch.equal(method(name).explain(asked, wanted).values, expected)


def test_too_few_steps_are_refused(method):
    with pytest.raises(ValueError, match="n_steps must be at least 2, got 1"):
        method("integrated_gradients", n_steps=1)

"""HSIC against the textbook formula, and on networks with known dependence."""

import math
import sys

import pytest
import torch

from gpex_bench.types.demands import Refused


@pytest.fixture
def source(method):
    """The module of the explainer."""
    return vars(sys.modules[type(method("hsic")).__module__])


def textbook(coin, y):
    """Return trace(K H L H) / (n - 1)^2 with a Dirac kernel on the coin and a Gaussian one of the
    median width on y.
    """
    n = len(y)
    gaps = sorted(abs(float(y[i] - y[j])) for i in range(n) for j in range(i))
    width = gaps[(len(gaps) - 1) // 2]
    k = torch.tensor(
        [[float(coin[i] == coin[j]) for j in range(n)] for i in range(n)], dtype=torch.float64
    )
    g = [
        [math.exp(-(float(y[i] - y[j]) ** 2) / (2 * width**2)) for j in range(n)] for i in range(n)
    ]
    h = torch.eye(n, dtype=torch.float64) - 1 / n
    return float(torch.trace(k @ h @ torch.tensor(g, dtype=torch.float64) @ h)) / (n - 1) ** 2


@pytest.mark.parametrize("chunk", [7, 256])
def test_it_is_the_textbook_formula(source, normal, monkeypatch, chunk):
    masks, y = normal(40, 5) > 0, normal(40, seed=1).double()
    y = y + masks[:, 0] + 2 * masks[:, 1] * masks[:, 2]
    monkeypatch.setitem(source, "CHANGED_ROWS", chunk)
    expected = torch.tensor([textbook(masks[:, i], y) for i in range(5)], dtype=torch.float64)
    torch.testing.assert_close(source["dependence"](masks, y), expected)


def test_coins_are_balanced_and_independent(source):
    masks = source["coins"](256, 49, 5)
    assert (masks.sum(0) == 128).all()
    assert float(torch.corrcoef(masks.double().T).fill_diagonal_(0).abs().max()) < 0.3
    assert source["coins"](100, 3, 5).shape == (100, 3)
    assert not torch.equal(masks, source["coins"](256, 49, 6))


def test_only_what_matters_has_dependence(formula, task, query, method):
    """A region that only opens the way for another has no main effect, but the spread of the
    output depends on it.
    """
    x = torch.ones(1, 1, 12, 12)

    def logit(x):
        cells = x.view(-1, 3, 4, 3, 4).mean((2, 4))
        return (cells[:, 0, 0] * (2 * cells[:, 1, 1] - 1) + cells[:, 2, 2])[:, None]

    values = method("hsic", grid=3).explain(task(formula(logit, 1), x), query(x)).values
    cells = values[0, 0].view(3, 4, 3, 4).sum((1, 3))
    matter = torch.eye(3, dtype=torch.bool)
    assert float(cells[matter].min()) > 5 * float(cells[~matter].max())
    assert float(cells.min()) >= 0


def test_a_shifted_or_scaled_output_has_the_same_dependence(formula, task, query, method, normal):
    x, weight = normal(1, 6), normal(6, seed=1)
    one, other = (
        method("hsic", budget=128).explain(
            task(formula(lambda x, a=a, b=b: (a * x @ weight + b)[:, None], 1), x), query(x)
        )
        for a, b in ((1, 0), (-3, 50))
    )
    torch.testing.assert_close(one.values, other.values, rtol=1e-3, atol=1e-7)


def test_few_masks_are_refused_and_seeds_differ(formula, task, query, method, normal):
    model, x = formula(lambda x: x.sum(1, keepdim=True).sin(), 1), normal(1, 12)
    with pytest.raises(Refused, match="budget must be at least 13 rows for 12 regions"):
        method("hsic", budget=12).explain(task(model, x), query(x))
    with pytest.raises(ValueError, match="budget must be at least 2, got 1"):
        method("hsic", budget=1)
    found = {
        tuple(
            method("hsic", budget=64)
            .explain(task(model, x, seed=seed), query(x, first=first))
            .values[0]
            .tolist()
        )
        for seed in (1, 2)
        for first in (5, 6)
    }
    assert len(found) == 4


@pytest.mark.parametrize("n_masks, n_regions", [(6, 5), (8, 7), (50, 49), (128, 49), (100, 60)])
def test_masks_tell_all_regions_apart(source, n_masks, n_regions):
    """No coin is constant, the same as another one or the opposite of it (as first bits of a Sobol
    sequence are: 31 of 49 are different in 64 masks).
    """
    for seed in range(5):
        masks = source["coins"](n_masks, n_regions, seed)
        from_first = masks ^ masks[:1]
        assert len(from_first.unique(dim=1).T) == n_regions
        assert bool(from_first.any(0).all())
    sign = 2 * source["coins"](64, 49, 3).double() - 1
    torch.testing.assert_close(sign.T @ sign / 64, torch.eye(49).double())


def test_it_comes_near_the_measure_over_all_masks(formula, task, query, method, normal):
    """Every budget that is accepted: the closed form of independent coins, by enumeration."""
    weight, x = torch.tensor([3.0, 2.0, 1.0, 0.0, 0.0]), torch.ones(1, 5)
    asked = task(formula(lambda x: (x @ weight)[:, None], 1), x)
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 5)
    exact = torch.tensor([textbook(every[:, i], every @ weight) for i in range(5)])
    errors = []
    for budget in (8, 32, 512):
        values = method("hsic", budget=budget).explain(asked, query(x)).values[0]
        errors.append(float((values - exact).abs().max() / exact.max()))
    assert errors[2] < 0.15 and errors[2] < errors[0]

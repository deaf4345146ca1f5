"""Sobol indices against closed forms, by the function and by the explainer."""

import sys

import numpy as np
import pytest
import torch
from SALib.analyze import sobol as analyze
from SALib.sample import sobol as sample

from gpex_bench.contract.cost import counted
from gpex_bench.plugins.registry import plugins

A, B = 7.0, 0.1
FIRST = np.array([0.3139, 0.4424, 0.0])  # Ishigami and Homma 1990 with a = 7, b = 0.1
TOTAL = np.array([0.5576, 0.4424, 0.2437])


def ishigami(x):
    lib = torch if isinstance(x, torch.Tensor) else np
    return lib.sin(x[:, 0]) + A * lib.sin(x[:, 1]) ** 2 + B * x[:, 2] ** 4 * lib.sin(x[:, 0])


def closed_form():
    """Return the first-order and total indices from the variances of the parts."""
    main_1 = 0.5 * (1 + B * np.pi**4 / 5) ** 2
    main_2, pair_13 = A**2 / 8, B**2 * np.pi**8 * (1 / 18 - 1 / 50)
    total = main_1 + main_2 + pair_13
    return np.array([main_1, main_2, 0]) / total, np.array(
        [main_1 + pair_13, main_2, pair_13]
    ) / total


@pytest.fixture
def source():
    """The module of the explainer."""
    return vars(sys.modules[plugins("method")["sobol"].cls.__module__])


def design(source, n_factors, n_samples, seed):
    """Return all rows of a design in order."""
    points = torch.from_numpy(source["design"](n_factors, n_samples, seed))
    return source["mixed"](points)(slice(0, n_samples * (n_factors + 2)))


@pytest.fixture
def indices(source):
    """The indices of a function on the unit cube, by the explainer's design and estimator."""

    def found(f, n_factors, n_samples, seed, order):
        y = f(design(source, n_factors, n_samples, seed))
        return source["indices"](y.view(1, n_samples, n_factors + 2), order)[0].numpy()

    return found


@pytest.mark.parametrize("n_factors", [3, 7])
def test_design_and_estimators_are_those_of_salib(source, n_factors):
    """From SALib's base points come its rows in its order, and from the same answers its numbers."""
    problem = {
        "num_vars": n_factors,
        "names": list("abcdefg"[:n_factors]),
        "bounds": [[0, 1]] * n_factors,
    }
    rows = sample.sample(problem, 64, calc_second_order=False, seed=3)
    points = torch.from_numpy(
        np.hstack([rows[:: n_factors + 2], rows[n_factors + 1 :: n_factors + 2]])
    )
    np.testing.assert_array_equal(source["mixed"](points)(slice(0, len(rows))).numpy(), rows)
    np.testing.assert_array_equal(source["mixed"](points)(slice(5, 40)).numpy(), rows[5:40])
    ours = source["design"](n_factors, 64, 3)  # scrambled otherwise, as well spread
    for spread in (points.numpy(), ours):
        np.testing.assert_array_equal(
            np.sort(np.floor(64 * spread), 0), np.arange(64)[:, None].repeat(2 * n_factors, 1)
        )
    y = np.cos(3 * rows[:, 0]) + rows[:, 1] * rows[:, 2] + 5
    expected = analyze.analyze(problem, y, calc_second_order=False, num_resamples=2, seed=1)
    for order, key in (("first", "S1"), ("total", "ST")):
        found = source["indices"](torch.from_numpy(y).view(1, 64, -1), order)[0]
        np.testing.assert_allclose(found.numpy(), expected[key], rtol=1e-9, atol=1e-12)


def test_closed_form_is_the_published_one():
    np.testing.assert_allclose(closed_form(), [FIRST, TOTAL], atol=1e-4)


@pytest.mark.parametrize(
    "order, expected, atol", [("first", closed_form()[0], 0.03), ("total", closed_form()[1], 0.02)]
)
def test_ishigami(indices, order, expected, atol):
    found = indices(lambda u: ishigami(np.pi * (2 * u - 1)), 3, 4096, 1, order)
    np.testing.assert_allclose(found, expected, atol=atol)


def test_ishigami_converges(indices):
    off = [
        np.mean(
            [
                np.abs(indices(lambda u: ishigami(np.pi * (2 * u - 1)), 3, n, s, "total") - TOTAL)
                for s in (1, 2, 3)
            ]
        )
        for n in (32, 2048)
    ]
    assert off[1] < off[0] / 4


@pytest.mark.parametrize("order, expected", [("first", FIRST), ("total", TOTAL)])
def test_ishigami_as_a_network(formula, task, query, method, order, expected):
    """The mask moves each feature from -pi to pi, so the logit is the Ishigami function of uniform
    numbers.
    """
    x, baseline = torch.full((1, 3), torch.pi), torch.full((3,), -torch.pi)
    asked = task(formula(lambda x: ishigami(x)[:, None], 1), x, baseline)
    values = method("sobol", budget=4096 * 5, order=order).explain(asked, query(x)).values
    np.testing.assert_allclose(values[0].numpy(), expected, atol=0.04)


def test_additive_network_has_shares_of_the_variance(formula, task, query, method):
    weight, x = torch.tensor([1.0, -2.0, 3.0, 0.0]), torch.ones(1, 4)
    asked = task(formula(lambda x: (x @ weight)[:, None], 1), x)
    for order in ("first", "total"):
        values = method("sobol", budget=2048 * 6, order=order).explain(asked, query(x)).values[0]
        torch.testing.assert_close(values, weight.square() / 14, atol=0.02, rtol=0)
    assert float(values[3]) == 0


def test_regions_of_an_image(formula, task, query, method):
    """Only one region and half of another matter; each index is spread over the entries of its
    region.
    """
    x = torch.ones(1, 3, 8, 8)
    asked = task(
        formula(
            lambda x: (x[:, :, :2, :2].mean((1, 2, 3)) + x[:, :, 4:6, 6].mean((1, 2)))[:, None], 1
        ),
        x,
    )
    values = method("sobol", grid=4, budget=1024 * 18).explain(asked, query(x)).values[0]
    regions = values.view(3, 4, 2, 4, 2).sum((0, 2, 4))
    expected = torch.zeros(4, 4)
    expected[0, 0] = expected[2, 3] = 0.5
    torch.testing.assert_close(regions, expected, atol=0.03, rtol=0)
    assert len(values.unique()) <= 16


def test_sides_that_the_grid_does_not_divide(formula, task, query, method, normal):
    x = normal(1, 1, 11, 9)
    asked = task(formula(lambda x: x.flatten(1).square().sum(1, keepdim=True), 1), x)
    values = method("sobol", grid=4).explain(asked, query(x)).values
    assert 8 <= len(values.unique()) <= 16
    assert float(values.min()) >= 0


def test_constant_networks_get_zeros(formula, task, query, method, normal):
    x = normal(2, 3)
    values = method("sobol").explain(task(formula(lambda x: 0 * x, 3), x), query(x)).values
    assert torch.equal(values, torch.zeros(2, 3))


def test_cost_and_seeds(formula, task, query, method, normal):
    x = normal(1, 1, 14, 14)
    model = formula(lambda x: x.flatten(1).prod(1, keepdim=True) + x.flatten(1)[:, :1], 1)
    with counted(model) as cost:
        method("sobol").explain(task(model, x), query(x))
    assert (cost.forward, cost.backward) == (32 * (49 + 2), 0)
    with counted(model) as cost:
        method("sobol", budget=64 * 51 - 1).explain(task(model, x), query(x))
    assert cost.forward == 32 * 51  # a power of two of base points
    table = normal(1, 5)
    model = formula(lambda x: x.cumprod(1).sum(1, keepdim=True), 1)
    values = {
        tuple(
            method("sobol")
            .explain(task(model, table, seed=seed), query(table, first=first))
            .values[0]
            .tolist()
        )
        for seed in (1, 2)
        for first in (5, 6)
    }
    assert len(values) == 4


def test_bad_settings_are_refused(formula, task, query, method, normal):
    with pytest.raises(ValueError, match="order must be 'total' or 'first', got 'second'"):
        method("sobol", order="second")
    x = normal(1, 1, 9, 9)
    with pytest.raises(
        ValueError, match="budget must be at least 408 rows for 49 factors, got 407; raise it"
    ):
        method("sobol", budget=407).explain(task(formula(lambda x: x.flatten(1), 81), x), query(x))
    x = normal(1, 1, 6, 9)
    with pytest.raises(
        ValueError, match="grid must be between 1 and the image's shorter side, got 7"
    ):
        method("sobol").explain(task(formula(lambda x: x.flatten(1), 54), x), query(x))

"""Shapley values against their definition, and identities of the two estimators."""

import math
import sys
from itertools import combinations

import numpy as np
import pytest
import torch

from gpex_bench.contract.cost import counted
from gpex_bench.masking import answers
from gpex_bench.masking.regions import regions
from gpex_bench.types import Kind
from gpex_bench.types.demands import Refused

BOTH = ("kernel_shap", "shapley_sampling")


def shapley(value, n):
    """Return the Shapley values of a game from the definition, one subset after the other."""
    found = torch.zeros(n, dtype=torch.float64)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for members in combinations(others, size):
                found[i] += weight * (value({*members, i}) - value(set(members)))
    return found


def games(model, x, baseline):
    """Return the game of each row: the first logit with the columns of a coalition present."""

    def game(row):
        def value(members):
            blend = baseline.clone()
            blend[list(members)] = row[list(members)]
            return float(model(blend[None])[0, 0].detach())

        return value

    return [game(row) for row in x]


@pytest.fixture
def tangled(formula, normal):
    """A network with interactions of every order; column 5 does nothing."""
    weight = normal(8, 6, seed=3)
    weight[5] = 0
    return formula(
        lambda x: torch.stack(
            [(x @ weight).tanh().prod(1) + (x @ weight).sin().sum(1), 0 * x[:, 0]], 1
        ),
        2,
    )


@pytest.fixture
def coalitions(method):
    """The masks that KernelSHAP asks about, and their weights."""
    return vars(sys.modules[type(method("kernel_shap")).__module__])["coalitions"]


@pytest.fixture
def quadratic(formula, normal):
    """A network with main effects and interactions of pairs."""
    weight = normal(8, 8, seed=3)
    return formula(lambda x: torch.stack([((x @ weight) * x).sum(1) + x.sum(1), 0 * x[:, 0]], 1), 2)


def test_all_subsets_are_the_exact_values(tangled, task, query, method, normal):
    x, baseline = normal(3, 8), normal(8, seed=1)
    expected = torch.stack([shapley(game, 8) for game in games(tangled, x, baseline)])
    with counted(tangled) as rows:
        values = (
            method("kernel_shap", budget=256).explain(task(tangled, x, baseline), query(x)).values
        )
    torch.testing.assert_close(values.double(), expected, rtol=1e-3, atol=1e-4)
    assert float(values[:, 5].abs().max()) < 1e-5
    assert rows.forward == 3 * 256


@pytest.mark.parametrize("name", BOTH)
def test_pairs_of_coalitions_are_exact_for_pairs_of_columns(
    quadratic, task, query, method, normal, name
):
    """Antithetic orders share an interaction of two evenly, and complements cancel what is left
    over.
    """
    x, baseline = normal(3, 8), normal(8, seed=1)
    expected = torch.stack([shapley(game, 8) for game in games(quadratic, x, baseline)])
    values = method(name, budget=60).explain(task(quadratic, x, baseline), query(x)).values
    torch.testing.assert_close(values.double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", BOTH)
def test_samples_converge_to_the_exact_values(tangled, task, query, method, normal, name):
    x, baseline = normal(6, 8), normal(8, seed=1)
    expected = torch.stack([shapley(game, 8) for game in games(tangled, x, baseline)])
    few, many = (
        float(
            (
                method(name, budget=n).explain(task(tangled, x, baseline), query(x)).values
                - expected
            ).norm()
        )
        for n in (40, 250 if name == "kernel_shap" else 4000)
    )
    assert many < 0.5 * few
    assert many < 0.15 * float(expected.norm())


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("output", ["logit", "probability", "log_odds"])
def test_values_sum_to_the_change_of_the_output(tangled, task, query, method, normal, name, output):
    x, baseline = normal(4, 8), normal(8, seed=1)
    values = (
        method(name, budget=60, output=output).explain(task(tangled, x, baseline), query(x)).values
    )
    logits = torch.stack([tangled(x), tangled(baseline[None].expand_as(x))])
    first = torch.zeros(4, dtype=torch.int64)
    scale = [answers.on_scale(part, first, output, Kind.CLASSES) for part in logits]
    torch.testing.assert_close(values.sum(1).double(), scale[0] - scale[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", BOTH)
def test_images_of_different_numbers_of_segments(formula, task, query, method, normal, name):
    """On a linear network the value of a segment is its own part of the output, whatever else is
    in the batch.
    """
    x = torch.rand(3, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    x[1, :, :10] = 0.0  # fewer segments
    weight = normal(1, 20, 20, seed=2)
    asked = task(formula(lambda x: (x * weight).flatten(1).sum(1, keepdim=True), 1), x)
    explainer = method(name, budget=400, segmentation="quickshift", n_segments=30)
    values = explainer.explain(asked, query(x)).values
    cut = regions(x, "quickshift", 30)
    assert len(set(cut.count.tolist())) > 1
    for row, index in enumerate(cut.index):
        found, expected = (
            torch.zeros(int(cut.count[row])).index_add_(0, index.flatten(), part.flatten())
            for part in (values[row], (x[row] * weight)[0])
        )
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_one_column_gets_all(formula, task, query, method, normal):
    x = normal(2, 1)
    for name in BOTH:
        values = method(name).explain(task(formula(lambda x: x.exp(), 1), x), query(x)).values
        torch.testing.assert_close(values, x.exp() - 1)


def test_coalitions_follow_the_kernel(coalitions):
    """Whole sizes from both ends with exact weights; drawn ones share what is left of the kernel."""
    masks, weights = coalitions(20000, 20, torch.Generator().manual_seed(0))
    assert masks[:2].float().mean(1).tolist() == [0, 1]
    assert torch.equal(weights[:2], torch.zeros(2, dtype=torch.float64))
    assert len(masks) == 20000

    size = torch.arange(1, 20, dtype=torch.float64)
    kernel = 1 / (size * (20 - size))
    kernel = kernel / kernel.sum()
    total = torch.zeros(20, dtype=torch.float64).index_add_(0, masks[2:].sum(1), weights[2:])[1:]
    torch.testing.assert_close(total, kernel, atol=0.01, rtol=0)
    for k in (1, 2, 3, 17, 18, 19):
        of_size = masks[masks.sum(1) == k]
        assert len(of_size) == len(of_size.unique(dim=0)) == math.comb(20, k)
        torch.testing.assert_close(total[k - 1], kernel[k - 1], atol=1e-12, rtol=0)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
def test_a_budget_for_all_subsets_takes_each_once(coalitions, n):
    masks, weights = coalitions(2**n, n, torch.Generator())
    assert len(masks) == len(masks.unique(dim=0)) == 2**n
    sizes = masks.sum(1)
    inner = (sizes > 0) & (sizes < n)
    kernel = [1 / (math.comb(n, k) * k * (n - k)) for k in sizes[inner].tolist()]
    expected = torch.tensor(kernel, dtype=torch.float64)
    torch.testing.assert_close(weights[inner], expected / max(1e-9, float(expected.sum())))


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 10, 30])
def test_linear_networks_get_exact_values_with_the_smallest_budgets(
    formula, task, query, method, normal, name, n
):
    weight, x, baseline = normal(n), normal(2, n, seed=1), normal(n, seed=2)
    asked = task(formula(lambda x: (x @ weight)[:, None] - 3, 1), x, baseline)
    fewest = min(2**n, 2 * n + 2) if name == "kernel_shap" else 2 * n
    for budget in (*range(fewest, fewest + 6), 3 * n + 5, 10 * n + 10):
        values = method(name, budget=budget).explain(asked, query(x)).values
        torch.testing.assert_close(values, weight * (x - baseline), rtol=1e-4, atol=1e-5)
    if fewest > 2:
        with pytest.raises(Refused, match=f"budget must be at least {fewest} rows for {n} regions"):
            method(name, budget=fewest - 1).explain(asked, query(x))


def test_a_larger_budget_comes_nearer_to_the_definition(tangled, task, query, method, normal):
    """The mean over seeds: each budget takes part of the sizes whole and draws the rest."""
    x, baseline = normal(3, 8), normal(8, seed=1)
    expected = torch.stack([shapley(game, 8) for game in games(tangled, x, baseline)])
    errors = []
    for budget in (18, 40, 90, 200, 255, 256):
        found = [
            method("kernel_shap", budget=budget)
            .explain(task(tangled, x, baseline, seed=seed), query(x))
            .values
            for seed in range(4)
        ]
        errors.append(float((torch.stack(found) - expected).square().mean().sqrt()))
    assert errors[-1] < 1e-4 < errors[0]
    assert all(after < 1.1 * before for before, after in zip(errors, errors[1:], strict=False))


@pytest.mark.parametrize("budget", [18, 41, 90, 200])
def test_the_fit_is_the_weighted_regression_of_the_paper(
    tangled, coalitions, task, query, method, normal, budget
):
    """Equation 8 of lundberg2017unified, with the last value taken out by the sum: by lstsq."""
    x, baseline = normal(1, 8), normal(8, seed=1)
    asked, wanted = task(tangled, x, baseline), query(x)
    generator = asked.generator(int(wanted.sample[0]))
    masks, weights = (part.numpy() for part in coalitions(budget, 8, generator))
    blends = torch.where(torch.from_numpy(masks), x, baseline)
    y = tangled(blends)[:, 0].detach().double().numpy()

    gain, change = y - y[0], y[1] - y[0]
    last = masks[:, -1].astype(float)
    root = np.sqrt(weights)
    design = root[:, None] * (masks[:, :-1] - last[:, None])
    solved = np.linalg.lstsq(design, root * (gain - last * change), rcond=None)[0]
    expected = np.append(solved, change - solved.sum())

    values = method("kernel_shap", budget=budget).explain(asked, wanted).values[0]
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name, fewest", [("kernel_shap", 18), ("shapley_sampling", 16)])
def test_budgets_that_are_too_small_are_refused(tangled, task, query, method, normal, name, fewest):
    x = normal(1, 8)
    with pytest.raises(
        Refused,
        match=f"budget must be at least {fewest} rows for 8 regions, got 15; raise it or cut fewer",
    ):
        method(name, budget=15).explain(task(tangled, x), query(x))


@pytest.mark.parametrize("name", BOTH)
def test_draws_depend_on_seed_and_sample(tangled, task, query, method, normal, name):
    x = normal(1, 8)
    values = {
        tuple(
            method(name, budget=40)
            .explain(task(tangled, x, seed=seed), query(x, first=first))
            .values[0]
            .tolist()
        )
        for seed in (1, 2)
        for first in (5, 6)
    }
    assert len(values) == 4

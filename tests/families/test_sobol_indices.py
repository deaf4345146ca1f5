"""Sobol indices: SALib's numbers, closed forms, sampled against enumerated, constant answers."""

import numpy as np
import pytest
import torch
from SALib.analyze import sobol as analyze
from SALib.sample import sobol as sample

from gpex_bench.families import sobol_indices

TOTAL = (0.5576, 0.4424, 0.2437)  # of the function of Ishigami and Homma 1990 with a = 7, b = 0.1
FIRST = (0.3139, 0.4424, 0.0)


def ishigami(u):
    x = torch.pi * (2 * u - 1)
    return x[:, 0].sin() + 7 * x[:, 1].sin() ** 2 + 0.1 * x[:, 2] ** 4 * x[:, 0].sin()


def asked(f, n_factors, n_points, seed=1, is_binary=False):
    """Answers of a function to a design with pairs [1, point, row]."""
    rows = torch.from_numpy(sobol_indices.sampled_rows(n_factors, n_points, seed, has_pairs=True))
    rows = (rows < 0.5).double() if is_binary else rows
    return f(rows).view(1, n_points, sobol_indices.rows_each(n_factors, True))


@pytest.mark.parametrize("n_factors", [2, 5])
def test_rows_and_indices_of_all_orders_are_those_of_salib(n_factors):
    problem = {
        "num_vars": n_factors,
        "names": list("abcde"[:n_factors]),
        "bounds": [[0, 1]] * n_factors,
    }
    rows = sample.sample(problem, 64, calc_second_order=True, seed=3)
    each = 2 * n_factors + 2
    points = torch.from_numpy(np.hstack([rows[::each], rows[each - 1 :: each]]))
    np.testing.assert_array_equal(
        sobol_indices.mixed(points, True)(slice(0, len(rows))).numpy(), rows
    )
    np.testing.assert_array_equal(
        sobol_indices.mixed(points, True)(slice(7, 40)).numpy(), rows[7:40]
    )
    y = np.cos(3 * rows[:, 0]) + rows[:, 0] * rows[:, 1] ** 2 + rows[:, -1] + 5
    theirs = analyze.analyze(problem, y, calc_second_order=True, num_resamples=1000, seed=1)
    ours = sobol_indices.decompose(torch.from_numpy(y).view(1, 64, each), True, [1])
    np.testing.assert_allclose(ours.first[0], theirs["S1"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.total[0], theirs["ST"], rtol=1e-9, atol=1e-12)
    above = np.triu_indices(n_factors, 1)
    np.testing.assert_allclose(ours.second[0][above], theirs["S2"][above], rtol=1e-9, atol=1e-12)
    assert not ours.second[0].tril().any()
    for half, name in zip(ours.halves, ("S1_conf", "ST_conf", "S2_conf"), strict=True):
        found = half[0][above] if name == "S2_conf" else half[0]
        wanted = theirs[name][above] if name == "S2_conf" else theirs[name]
        np.testing.assert_allclose(found, wanted, rtol=0.4, atol=0.02)  # both from few resamples


@pytest.mark.parametrize("has_pairs", [False, True])
@pytest.mark.parametrize("n_factors", [1, 3, 9])
def test_rows_from_base_points_are_the_sampled_rows(n_factors, has_pairs):
    rows = sobol_indices.sampled_rows(n_factors, 8, 5, has_pairs)
    points = torch.from_numpy(sobol_indices.design(n_factors, 8, 5))
    every = slice(0, 8 * sobol_indices.rows_each(n_factors, has_pairs))
    np.testing.assert_array_equal(sobol_indices.mixed(points, has_pairs)(every).numpy(), rows)


def test_many_functions_get_what_each_gets_alone_and_no_global_draw_is_made(capsys):
    np.random.seed(4)
    before = np.random.get_state()[1].copy()
    rows = torch.from_numpy(sobol_indices.sampled_rows(3, 32, 2))
    y = torch.stack([ishigami(rows), rows[:, 0] ** 3, 0 * rows[:, 0] + 2]).view(3, 32, 5)
    together = sobol_indices.decompose(y, False, [1, 2, 3])
    for one in range(3):
        alone = sobol_indices.decompose(y[one : one + 1], False, [one + 1])
        torch.testing.assert_close(together.first[one], alone.first[0])
        torch.testing.assert_close(together.halves[1][one], alone.halves[1][0])
    assert not together.total[2].any() and together.total[:2].any(1).all()
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert capsys.readouterr().out == ""


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    held = []
    for seed in range(60):
        found = sobol_indices.decompose(asked(ishigami, 3, 64, seed), True, [seed])
        held.append((found.total[0] - torch.tensor(TOTAL)).abs() <= found.halves[1][0])
    # scrambled points are better than independent ones
    assert float(torch.stack(held).double().mean()) > 0.8


def test_ishigami():
    found = sobol_indices.decompose(asked(ishigami, 3, 4096), True)
    torch.testing.assert_close(found.first[0], torch.tensor(FIRST).double(), atol=0.03, rtol=0)
    torch.testing.assert_close(found.total[0], torch.tensor(TOTAL).double(), atol=0.02, rtol=0)
    pairs = torch.zeros(3, 3).double()
    pairs[0, 2] = TOTAL[2]  # the only interaction
    torch.testing.assert_close(found.second[0], pairs, atol=0.04, rtol=0)


@pytest.mark.parametrize("is_binary", [False, True])
def test_additive_function_has_no_interactions(is_binary):
    weight = torch.tensor([1.0, -2.0, 3.0]).double()
    found = sobol_indices.decompose(asked(lambda u: u @ weight, 3, 2048, is_binary=is_binary), True)
    torch.testing.assert_close(found.first[0], weight**2 / 14, atol=0.02, rtol=0)
    torch.testing.assert_close(found.total[0], weight**2 / 14, atol=0.02, rtol=0)
    assert float(found.second.abs().max()) < 0.02


@pytest.mark.parametrize("is_binary, single, pair", [(False, 3 / 7, 1 / 7), (True, 1 / 3, 1 / 3)])
def test_product_of_two_factors(is_binary, single, pair):
    """u1 u2: variances 1/144 x 3, 3 and 1 of 7 parts for uniform factors.

    A third each for coins.
    """
    found = sobol_indices.decompose(
        asked(lambda u: u[:, 0] * u[:, 1], 3, 4096, is_binary=is_binary), True
    )
    torch.testing.assert_close(
        found.first[0], torch.tensor([single, single, 0]).double(), atol=0.02, rtol=0
    )
    torch.testing.assert_close(
        found.total[0], torch.tensor([single + pair] * 2 + [0]).double(), atol=0.02, rtol=0
    )
    assert float(found.second[0, 0, 1]) == pytest.approx(pair, abs=0.03)
    assert abs(float(found.second[0, 0, 2])) < 0.01
    assert found.first[0, 2] == 0 and found.total[0, 2] == 0  # a factor that nothing reads, exactly


def test_enumerated_indices_by_hand_and_as_the_limit_of_the_sampled_ones():
    masks = sobol_indices.combinations(4)
    assert (
        masks.tolist()[:3] == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
        and len(masks.unique(dim=0)) == 16
    )

    def f(m):
        return (
            3 * m[:, 0]
            + (m[:, 1] - 0.5) * (m[:, 2] - 0.5) * 4
            + m[:, 0] * m[:, 1] * m[:, 2] * m[:, 3]
            + 7
        )

    exact = sobol_indices.enumerated(f(masks.double())[None])
    y = f(masks.double())
    spread = y.var(correction=0)
    for i in range(4):
        on, off = y[masks[:, i] == 1], y[masks[:, i] == 0]
        assert float(exact.first[0, i]) == pytest.approx(
            float(((on.mean() - off.mean()) / 2) ** 2 / spread)
        )
        assert float(exact.total[0, i]) == pytest.approx(
            float(((on - off) / 2).square().mean() / spread)
        )
    sampled = sobol_indices.decompose(asked(f, 4, 8192, is_binary=True), True)
    torch.testing.assert_close(exact.first, sampled.first, atol=0.03, rtol=0)
    torch.testing.assert_close(exact.total, sampled.total, atol=0.02, rtol=0)
    torch.testing.assert_close(exact.second, sampled.second, atol=0.04, rtol=0)
    product = sobol_indices.enumerated((masks[:, 0] * masks[:, 1])[None].double())
    torch.testing.assert_close(product.first[0], torch.tensor([1, 1, 0, 0]).double() / 3)
    assert float(product.second[0, 0, 1]) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="all 2\\^n combinations, got 12 answers"):
        sobol_indices.enumerated(torch.zeros(1, 12))


@pytest.mark.parametrize("noise, is_zero", [(0, True), (1e-13, True), (1e-5, False), (1.0, False)])
def test_what_is_constant_up_to_rounding_of_double_precision_has_no_indices(noise, is_zero):
    def f(u):
        return 100 + noise * u[:, 0]

    found = sobol_indices.decompose(asked(f, 3, 64), True, [1])
    exact = sobol_indices.enumerated(f(sobol_indices.combinations(3).double())[None])
    for part in (
        found.first,
        found.total,
        found.second,
        *found.halves,
        exact.first,
        exact.total,
        exact.second,
    ):
        assert part.isfinite().all()
        if is_zero:
            assert not part.any()
    assert (float(exact.first[0, 0]) == pytest.approx(1)) != is_zero


def test_budget_counts_rows():
    assert sobol_indices.base_points(100, 3) == 16  # 16 x 5 <= 100 < 32 x 5
    assert sobol_indices.base_points(100, 3, has_pairs=True) == 8
    with pytest.raises(ValueError, match="budget must be at least 40 rows for 3 factors, got 39"):
        sobol_indices.base_points(39, 3)

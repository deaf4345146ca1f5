"""Effect sizes against their definition, a textbook twin and simulations."""

import numpy as np
import pytest
from scipy import stats

from gpex_bench.statistics import effects
from gpex_bench.statistics.units import units
from tests.vocabulary import scores


def test_an_effect_is_the_mean_in_standard_deviations() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1, 40)
    t = stats.ttest_1samp(differences, 0).statistic
    assert effects.effect(differences).size == pytest.approx(t / np.sqrt(40))

    scaled = effects.effect(1e-8 * differences)
    assert scaled.low == pytest.approx(effects.effect(differences).low)


def test_the_interval_is_the_jackknifes() -> None:
    differences = np.random.default_rng(1).exponential(size=20)
    left_out = []
    for sample in range(20):
        rest = np.delete(differences, sample)
        left_out.append(rest.mean() / rest.std(ddof=1))
    error = np.sqrt(19 / 20 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))

    found = effects.effect(differences)
    reach = stats.t.ppf(0.975, 19) * error
    assert (found.low, found.high) == pytest.approx((found.size - reach, found.size + reach))


def test_differences_without_spread_have_a_bounded_effect() -> None:
    for mean, expected in ((1.0, 10), (-1e-9, -10), (0.0, 0)):
        found = effects.effect(np.full(12, mean))
        assert (found.low, found.size, found.high) == pytest.approx((expected,) * 3)
    assert np.isnan(effects.effect(np.array([1.0] * 7 + [np.nan] * 9)).size)


@pytest.mark.parametrize("true", [0.0, 0.5])
@pytest.mark.parametrize("n_samples", [24, 100])
def test_the_interval_covers_the_effect(true: float, n_samples: int) -> None:
    rng = np.random.default_rng(n_samples)
    beta = (rng.beta(5, 2, (1500, n_samples)) - 5 / 7) / np.sqrt(10 / 49 / 8)
    found = [effects.effect(row) for row in beta + true]
    covered = np.mean([one.low <= true <= one.high for one in found])
    assert 0.93 < covered < 0.985


def test_the_best_of_many_alike_is_not_flattered() -> None:
    sizes = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        made = {f"m{at}": rng.normal(size=(24, 1)) for at in range(30)}
        made["random"] = rng.normal(size=(24, 1))
        (block,) = units(scores.table(made), {"srg": True}, ["random"])
        (control,) = block.groups_of(["random"])
        sizes.append(effects.of_best(block, control).size)
    assert abs(np.mean(sizes)) < 3 * np.std(sizes) / 10


def test_a_method_without_some_samples_is_compared_on_those_it_has() -> None:
    rng = np.random.default_rng(3)
    made = {name: rng.normal(level, 1, (20, 2)) for name, level in (("ig", 3), ("random", 0))}
    long = scores.table(made)
    missing = (long["method"] == "ig") & (long["sample"] < 6)
    (block,) = units(long[~missing], {"srg": True}, ["random"])
    (control,) = block.groups_of(["random"])
    (method,) = block.groups_of(["ig"])

    expected = (made["ig"] - made["random"]).mean(1)[6:]
    found = effects.of_group(block, method, control)
    assert found.size == pytest.approx(expected.mean() / expected.std(ddof=1))
    assert effects.of_best(block, control).size == pytest.approx(found.size)

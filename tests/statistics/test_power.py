"""Power: the formula against simulation, and what is said."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gpex_bench.statistics import means, pairs, power
from gpex_bench.statistics.units import units
from tests.vocabulary import scores


def row(made: dict[str, np.ndarray]) -> pd.Series:
    (here,) = units(scores.table(made), {"srg": True}, [])
    return power.table(here, pairs.compare(here)).iloc[0]


@pytest.mark.parametrize("shift", [0.25, 0.4])
def test_the_formula_gives_the_stated_power(shift: float) -> None:
    exact = stats.norm.ppf((np.arange(1000) + 0.5) / 1000) + shift
    n_needed = int(power.needed(exact, 0.1, 0.05 / 3))
    drawn = np.random.default_rng(0).normal(shift, 1, (2000, n_needed))
    _, _, p_value = means.means(drawn).test
    assert np.mean(p_value < 0.05 / 3) == pytest.approx(0.8, abs=0.05)


def test_equality_within_a_margin_has_the_stated_power() -> None:
    exact = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    n_needed = int(power.needed(exact, 0.3, 0.05))
    drawn = np.random.default_rng(1).normal(0, 1, (2000, n_needed))
    p_value = means.means(drawn).within(np.full(2000, 0.3))
    assert np.mean(p_value < 0.05) == pytest.approx(0.8, abs=0.05)


def test_on_the_margin_no_number_of_samples_will_do() -> None:
    assert power.needed(np.array([-1.0, 1.0, -2.0, 2.0]), 0.0, 0.05) == np.inf


def test_sentences() -> None:
    clear = row(scores.made({"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.0}))
    names = (clear["first"], clear["second"], clear["third"])
    assert names == ("a", "b", "c") and clear["n_samples"] == 40
    assert clear["sentence"] == "a, b and c: 40 samples are enough, each two have a verdict."

    close = row(scores.made({"a": 0.55, "b": 0.5, "c": 0.0}, seed=4))
    assert 40 < close["n_samples"] < 10_000
    assert close["sentence"].endswith("are needed for a verdict on each two (40 were used).")

    half = np.tile([[1.0], [-1.0]], (20, 3))
    on_margin = half - half.mean() + 2.1
    never = row({"a": on_margin, "b": np.zeros((40, 3)) + 2, "c": np.zeros((40, 3))})
    assert never["n_samples"] > 40 or np.isnan(never["n_samples"])


def test_the_smallest_difference_is_that_of_a_t_test() -> None:
    made = scores.made({"a": 0.5, "b": 0.5}, n_samples=60)
    gaps = (made["a"] - made["b"]).mean(1)
    smallest = row(made)["smallest_difference"]
    rng = np.random.default_rng(2)
    drawn = rng.normal(smallest, gaps.std(ddof=1), (4000, 60))
    share = np.mean(stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05)
    assert share == pytest.approx(0.8, abs=0.03)


def test_copies_are_one_of_the_three() -> None:
    made = scores.made({"a": 3.0, "b": 2.0, "c": 1.0})
    found = row(made | {"copy": made["a"]})
    assert (found["first"], found["second"], found["third"]) == ("a = copy", "b", "c")
    two = row({name: made[name] for name in ("a", "b")})
    assert two["third"] == "" and two["sentence"].startswith("a and b: 40 samples")

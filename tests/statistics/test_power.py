"""Power: the formula against simulation, and what is said."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gpex_bench.statistics import pairs, power, ranking
from gpex_bench.statistics.units import units
from tests.vocabulary import scores


def row(made: dict[str, np.ndarray]) -> pd.Series:
    (here,) = units(scores.table(made), {"srg": True}, [])
    return power.table(here, pairs.compare(here), ranking.within(here)).iloc[0]


@pytest.mark.parametrize("shift", [0.25, 0.4])
def test_the_formula_gives_the_stated_power(shift: float) -> None:
    exact = stats.norm.ppf((np.arange(1000) + 0.5) / 1000) + shift
    n_needed = int(power.needed(exact, 0.05 / 3))
    p_value, _ = pairs.signed_rank(np.random.default_rng(0).normal(shift, 1, (n_needed, 2000)))
    assert np.mean(p_value < 0.05 / 3) == pytest.approx(0.8, abs=0.05)


def test_no_difference_needs_no_end_of_images() -> None:
    assert power.needed(np.array([-1.0, 1.0, -2.0, 2.0]), 0.05) == np.inf
    assert power.needed(np.zeros(5), 0.05) == np.inf


def test_sentences() -> None:
    clear = row(scores.made({"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.0}))
    assert (clear["first"], clear["second"], clear["third"], clear["n_images"]) == (
        "a",
        "b",
        "c",
        40,
    )
    assert clear["sentence"] == "a, b and c are already separated with 40 samples."
    made = scores.made({"a": 0.53, "b": 0.5, "c": 0.0}, seed=4)
    close = row(made)
    assert (
        40 < close["n_images"] < 10_000
        and "samples are needed to separate them (40 were used)" in close["sentence"]
    )
    half = np.tile([[1.0], [-1.0]], (20, 3))
    never = row({"a": np.zeros((40, 3)) + 2, "b": half + 2, "c": np.zeros((40, 3))})
    assert np.isnan(never["n_images"]) and never["sentence"].endswith(
        "more than 10,000 samples are needed to separate them."
    )


def test_copies_are_one_of_the_three() -> None:
    made = scores.made({"a": 3.0, "b": 2.0, "c": 1.0})
    found = row(made | {"copy": made["a"]})
    assert (found["first"], found["second"], found["third"]) == ("a = copy", "b", "c")
    two = row({name: made[name] for name in ("a", "b")})
    assert two["third"] == "" and two["sentence"].startswith("a and b are already")

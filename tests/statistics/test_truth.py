"""Whether faithfulness metrics order the methods as the planted truth does."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gpex_bench.statistics import truth
from gpex_bench.statistics.units import units
from gpex_bench.tables.columns import TRUTH_AGREEMENT
from tests.vocabulary import scores

RIGHT = {"a": 0.8, "b": 0.6, "c": 0.4, "d": 0.2, "random": 0.0}
WRONG = {"a": 0.2, "b": 0.6, "c": 0.4, "d": 0.8, "random": 0.0}


def blocks(**by_metric):
    """Return the scores of some metrics on one network; `infidelity` is better when lower."""
    frames = [scores.table(made, metric) for metric, made in by_metric.items()]
    better = {metric: metric != "infidelity" for metric in by_metric}
    return list(units(pd.concat(frames), better, ["random"]))


def found(**by_metric):
    records = scores.metrics(**dict.fromkeys(by_metric, True))
    return truth.table(blocks(**by_metric), records)


@pytest.mark.parametrize("with_ties", [False, True])
def test_tau_is_that_of_scipy(with_ties):
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 5, 9))
    if with_ties:
        one, other = one.round(), other.round()
    twin = [stats.kendalltau(a, b).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(truth.tau_b(one, other), twin, rtol=1e-12)
    assert np.isnan(truth.tau_b(np.ones(4), other[0, :4]))


def test_equal_and_reversed_orders_have_the_extreme_taus():
    (same,) = found(srg=scores.made(RIGHT), mass=scores.made(RIGHT, seed=1)).to_dict("records")
    assert same["tau"] == same["share_alike"] == 1.0
    assert same["n_methods"] == 4 and same["n_decided"] == 6
    assert same["overrated"] == same["underrated"] == ""

    reverse = {name: -level for name, level in RIGHT.items()}
    (turned,) = found(srg=scores.made(reverse), mass=scores.made(RIGHT)).to_dict("records")
    assert turned["tau"] == -1.0 and turned["share_alike"] == 0.0


def test_the_methods_whose_places_differ_most_are_named():
    table = found(srg=scores.made(WRONG), mass=scores.made(RIGHT, seed=1))
    assert list(table.columns) == list(TRUTH_AGREEMENT)
    (row,) = table.to_dict("records")
    assert (row["overrated"], row["overrated_place"], row["overrated_true_place"]) == ("d", 1, 4)
    assert (row["underrated"], row["underrated_place"], row["underrated_true_place"]) == ("a", 4, 1)
    by_hand = stats.kendalltau(list(WRONG.values())[:4], list(RIGHT.values())[:4]).statistic
    assert row["tau"] == pytest.approx(by_hand)


def test_a_metric_that_is_better_when_lower_is_turned():
    turned = {name: -values for name, values in scores.made(RIGHT).items()}
    (row,) = found(infidelity=turned, mass=scores.made(RIGHT, seed=1)).to_dict("records")
    assert row["tau"] == 1.0


def test_a_copy_of_a_method_changes_nothing():
    one, other = scores.made(WRONG), scores.made(RIGHT, seed=1)
    plain = found(srg=one, mass=other)
    copied = found(srg=one | {"z": one["d"]}, mass=other | {"z": other["d"]})
    pd.testing.assert_frame_equal(plain, copied)


def test_pairs_that_the_truth_cannot_tell_apart_are_not_counted():
    close = RIGHT | {"b": RIGHT["a"]}
    (row,) = found(srg=scores.made(RIGHT), mass=scores.made(close, seed=1)).to_dict("records")
    assert row["n_decided"] == 5 and row["share_alike"] == 1.0


def test_what_cannot_be_compared_has_no_row():
    few = {name: RIGHT[name] for name in ("a", "b", "random")}
    assert found(srg=scores.made(few), mass=scores.made(few)).empty
    assert found(srg=scores.made(RIGHT, n_samples=10), mass=scores.made(RIGHT)).empty
    assert found(srg=scores.made(RIGHT)).empty


def test_a_difference_of_taus_is_paired():
    """Two metrics that err alike differ by exactly 0, however uncertain each of them is."""
    srg, mass = blocks(srg=scores.made(WRONG, n_samples=8), mass=scores.made(RIGHT, n_samples=8))
    methods = truth.common(srg, mass)
    cubes = [truth.scores_of(block, methods) for block in (srg, mass)]
    tau = truth.tau(*cubes[::-1], "key")
    same = truth.estimate([tau - tau])
    assert (same.mean, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_the_interval_adds_what_trainings_and_samples_contribute():
    """By hand: squared errors add, each with the degrees of freedom of its source."""
    resampled = np.array([[0.2, 0.5], [0.0, 0.2]])  # +0.1 and +0.2, then -0.1 and -0.1
    tau = truth.Tau(by_seed=np.array([0.1, 0.3]), resampled=resampled, n_samples=2)
    found = truth.estimate([tau])
    square_seed, square_sample = 0.02 / 2, 2 * (0.1 * 0.2 + 0.1 * 0.1) / 2
    total = square_seed + square_sample
    degrees = total**2 / (square_seed**2 + square_sample**2)
    half = stats.t.ppf(0.975, degrees) * np.sqrt(total)
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.2 - half, 0.2 + half))
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.2 / np.sqrt(total), degrees))

    alone = truth.Tau(by_seed=np.array([0.2]), resampled=np.array([[0.1], [0.3]]), n_samples=2)
    half = stats.t.ppf(0.975, 1) * np.sqrt(2 * 0.01)
    found = truth.estimate([alone])
    assert (found.low, found.high) == pytest.approx((0.2 - half, 0.2 + half))

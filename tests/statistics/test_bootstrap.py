"""Intervals: coverage by simulation, other implementations, and the same bits in any company."""

import numpy as np
import pytest
from scipy import stats

from gpex_bench.statistics import bootstrap


def test_counts_are_those_of_the_draws() -> None:
    index, times = bootstrap.draws("key", 9, 50), bootstrap.counts("key", 9, 50)
    assert times.sum(1).tolist() == [9] * 50
    assert times[7].tolist() == [int((index[7] == sample).sum()) for sample in range(9)]


def test_means_are_those_of_the_drawn_samples() -> None:
    values = np.random.default_rng(0).normal(3, 100, (20, 4))
    means = bootstrap.resampled_means(values, bootstrap.counts("key", 20, 200))
    assert means == pytest.approx(values[bootstrap.draws("key", 20, 200)].mean(1), abs=1e-7)


def test_bits_do_not_depend_on_the_other_columns_or_the_order_of_adding() -> None:
    values = np.random.default_rng(1).lognormal(0, 3, (48, 45))
    times = bootstrap.counts("key", 48, 300)
    together = bootstrap.resampled_means(values, times)
    alone = np.hstack([bootstrap.resampled_means(values[:, [at]], times) for at in range(45)])
    assert (together == alone).all()
    order = np.r_[0, 1 + np.random.default_rng(2).permutation(47)]  # the first value is the origin
    assert (bootstrap.resampled_means(values[order], times[:, order]) == together).all()


DRAWN = {  # how scores may look, with their mean
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "beta": (lambda rng, shape: rng.beta(5, 2, shape), 5 / 7),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "share of three seeds": (lambda rng, shape: rng.binomial(3, 0.3, shape) / 3, 0.3),
}


@pytest.mark.parametrize("n_samples", [50, 500])
@pytest.mark.parametrize("kind", DRAWN)
def test_intervals_cover_the_truth_as_often_as_they_say(kind: str, n_samples: int) -> None:
    draw, truth = DRAWN[kind]
    values = draw(
        np.random.default_rng(3), (n_samples, 6000)
    )  # two standard errors of the simulation are 0.006
    times = bootstrap.counts("coverage", n_samples, 2000)
    low, high = bootstrap.percentile_interval(bootstrap.resampled_means(values, times), n_samples)
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(0.95, abs=0.02)


def test_few_samples_need_the_expansion() -> None:
    drawn = np.random.default_rng(4).normal(size=(8, 4000))
    means = bootstrap.resampled_means(drawn, bootstrap.counts("coverage", 8, 1000))
    plain, expanded = (
        np.quantile(means, [0.025, 0.975], axis=0),
        bootstrap.percentile_interval(means, 8),
    )
    hits = [np.mean((low <= 0) & (high >= 0)) for low, high in (plain, expanded)]
    assert hits[0] < 0.91 < 0.92 < hits[1] < 0.98


def test_interval_is_near_students_for_normal_scores() -> None:
    values = np.random.default_rng(5).normal(size=(48, 1))
    means = bootstrap.resampled_means(values, bootstrap.counts("key", 48))
    low, high = bootstrap.percentile_interval(means, 48)
    expected = stats.t.interval(0.95, 47, values.mean(), stats.sem(values[:, 0]))
    assert (low[0], high[0]) == pytest.approx(expected, abs=0.1 * stats.sem(values[:, 0]))


def test_one_sample_has_no_interval_and_equal_ones_a_point() -> None:
    assert np.isnan(bootstrap.percentile_interval(np.ones((5, 2)), 1)).all()
    means = bootstrap.resampled_means(np.full((9, 1), 0.25), bootstrap.counts("key", 9))
    assert [end.tolist() for end in bootstrap.percentile_interval(means, 9)] == [[0.25], [0.25]]

"""Means of samples: textbook twins, coverage, and p values that say what the intervals say."""

import numpy as np
import pytest
from scipy import stats

from gpex_bench.statistics.means import FEWEST, bend, means, unbend

DRAWN = {  # how scores may look, with their mean
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "beta": (lambda rng, shape: rng.beta(5, 2, shape), 5 / 7),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "log-normal": (lambda rng, shape: rng.lognormal(size=shape), np.exp(0.5)),
    "t with 3 degrees": (lambda rng, shape: rng.standard_t(3, size=shape), 0.0),
    "share of three seeds": (lambda rng, shape: rng.binomial(3, 0.3, shape) / 3, 0.3),
}


def symmetric(n: int) -> np.ndarray:
    """Return samples without skewness and with the tails of few degrees of freedom to lose."""
    half = np.linspace(0.2, 1.0, n // 2)
    return np.concatenate([-half, half])


def test_without_skewness_and_heavy_tails_it_is_students() -> None:
    sample = symmetric(24) + 0.3
    low, high, p_value = means(sample[None]).test
    expected = stats.ttest_1samp(sample, 0)
    ends = expected.confidence_interval()
    assert (low[0], high[0]) == pytest.approx((ends.low, ends.high))
    assert p_value[0] == pytest.approx(expected.pvalue)


def test_degrees_of_freedom_are_those_of_the_variance() -> None:
    """A variance of normal samples with 2 n / (kurtosis - 1) degrees is as precise."""
    rng = np.random.default_rng(0)
    drawn = rng.standard_t(9, size=(40_000, 50))
    variance = drawn.var(1, ddof=1)
    of_variance = 2 * variance.mean() ** 2 / variance.var()
    kurtosis = 3 + 6 / (9 - 4)
    assert of_variance == pytest.approx(2 * 50 / (kurtosis - 1), rel=0.1)
    together = means(drawn[:2000].reshape(20, -1))  # 100 times as many samples a mean
    assert np.median(together.degrees) == pytest.approx(100 * of_variance, rel=0.15)


def test_moments_are_scipys() -> None:
    sample = np.random.default_rng(1).exponential(size=60)
    found = means(sample[None])
    assert found.lean[0] == pytest.approx(stats.skew(sample) / np.sqrt(60))
    kurtosis = stats.kurtosis(sample, fisher=False)
    assert found.degrees[0] == pytest.approx(min(59, 2 * 60 / (kurtosis - 1)))
    assert found.error[0] == pytest.approx(stats.sem(sample))


def test_bending_is_undone_and_never_falls() -> None:
    t = np.linspace(-20, 20, 401)
    for lean in (-0.8, -0.1, 0.0, 1e-12, 0.3):
        bent = bend(t, np.full_like(t, lean))
        assert (np.diff(bent) >= 0).all()
        assert unbend(bent, np.full_like(t, lean)) == pytest.approx(t, abs=1e-6)


@pytest.mark.parametrize("n_samples", [16, 50, 300])
@pytest.mark.parametrize("kind", DRAWN)
def test_intervals_hold_the_mean_as_often_as_they_say(kind: str, n_samples: int) -> None:
    draw, truth = DRAWN[kind]
    drawn = draw(np.random.default_rng(3), (6000, n_samples))
    low, high = means(drawn).interval
    covered = np.mean((low <= truth) & (truth <= high))
    too_few = kind == "log-normal" and n_samples == 16
    assert (0.90 if too_few else 0.93) < covered < 0.985


def test_plain_t_is_too_short_for_skewed_scores() -> None:
    drawn = np.random.default_rng(4).lognormal(size=(4000, 32))
    ends = stats.t.interval(0.95, 31, drawn.mean(1), stats.sem(drawn, axis=1))
    truth = np.exp(0.5)
    hits = [
        np.mean((low <= truth) & (truth <= high)) for low, high in (ends, means(drawn).interval)
    ]
    assert hits[0] < 0.91 < 0.93 < hits[1]


def test_a_p_value_says_what_the_interval_says() -> None:
    rng = np.random.default_rng(5)
    rows = rng.exponential(size=(3000, 20)) * rng.choice([-1, 1], (3000, 1)) + rng.normal(
        0, 1, (3000, 1)
    )
    rows[::3] = np.round(rows[::3])
    found = means(rows)
    low, high, p_value = found.test
    assert ((p_value < 0.05) == ((low > 0) | (high < 0))).all()

    margin = rng.uniform(0, 2, 3000)
    plain_low, plain_high = found.interval
    is_inside = (plain_low > -margin) & (plain_high < margin)
    assert ((found.within(margin) < 0.05) == is_inside).all()


def test_a_mean_on_the_margin_is_rarely_within_it() -> None:
    drawn = np.random.default_rng(6).exponential(size=(8000, 40)) - 1
    for side in (-0.3, 0.3):
        p_value = means(drawn + side).within(np.full(8000, 0.3))
        assert np.mean(p_value < 0.05) < 0.05


@pytest.mark.parametrize("n_moved", [1, 3, 5])
def test_few_samples_that_are_not_zero_show_no_sign(n_moved: int) -> None:
    row = np.zeros((1, 100))
    row[0, :n_moved] = 1.0
    low, _, p_value = means(row).test
    assert p_value[0] >= 2 / 2**n_moved and low[0] <= 0


def test_fewer_than_six_samples_have_no_interval() -> None:
    for n in range(8):
        row = 1 + 0.01 * symmetric(8)[:n]
        found = means(row[None])
        low, high, p_value = found.test
        assert np.isfinite([low[0], high[0]]).all() == (n >= FEWEST)
        assert (p_value[0] < 0.05) == (n >= FEWEST)


def test_equal_samples_hide_others_of_a_bounded_score() -> None:
    """Of a yes or no, 100 times yes does not exclude two zeros in a hundred."""
    row = np.ones((1, 100))
    low, high = means(row, width=1.0).interval
    assert 1 - low[0] == pytest.approx(1 - stats.binomtest(100, 100).proportion_ci().low)
    assert means(row).interval[0][0] == 1.0
    small_low, _, p_value = means(0.03 * row, width=1.0).test
    assert small_low[0] < 0 and p_value[0] == 1.0
    assert means(row, width=1.0).test[2][0] < 1e-9
    assert means(0 * row, width=1.0).within(np.array([0.02]))[0] == 1.0
    assert means(np.zeros((1, 300)), width=1.0).within(np.array([0.02]))[0] < 0.05


def test_rare_scores_are_covered() -> None:
    rng = np.random.default_rng(7)
    for share in (0.01, 0.03, 0.1):
        drawn = (rng.random((4000, 100)) < share).astype(float)
        low, high = means(drawn, width=1.0).interval
        assert np.mean((low <= share) & (share <= high)) > 0.93


def test_missing_samples_are_left_out() -> None:
    row = np.random.default_rng(8).normal(size=40)
    gaps = np.full((1, 60), np.nan)
    gaps[0, ::3][:20], gaps[0, 1::3][:20] = row[:20], row[20:]
    few = means(row[None])
    many = means(gaps)
    assert many.n[0] == 40
    for name in ("mean", "error", "lean", "degrees"):
        assert getattr(many, name) == pytest.approx(getattr(few, name))


def test_bits_do_not_depend_on_the_other_rows() -> None:
    rows = np.random.default_rng(9).lognormal(0, 3, (45, 101))
    together = means(rows)
    for at in range(45):
        alone = means(rows[[at]])
        for name in ("mean", "error", "lean", "degrees"):
            assert getattr(alone, name)[0] == getattr(together, name)[at]

"""Wilcoxon's signed-rank test: SciPy, and a count of all signs."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from gpex_bench.studies.metric_trust.signed_rank import signed_rank


@pytest.mark.parametrize("kind", ["plain", "many"])
def test_signed_rank_is_scipys(kind: str) -> None:
    rng = np.random.default_rng(1)
    differences = rng.normal(0.2, 1, 80 if kind == "many" else 30)
    expected = stats.wilcoxon(
        differences, zero_method="pratt", method="exact" if kind == "plain" else "asymptotic"
    )
    company = rng.normal(size=(len(differences), 3))
    company[:, 0] = 0
    p_value, effect = signed_rank(np.column_stack([company, differences]))
    assert p_value[3] == pytest.approx(expected.pvalue, rel=1e-12)
    assert (p_value[0], effect[0]) == (1.0, 0.0)


def test_with_zeros_and_ties_it_counts_all_signs() -> None:
    def counted(column: np.ndarray) -> float:
        ranks = stats.rankdata(np.abs(column))[column != 0]
        sums = np.array([np.dot(signs, ranks) for signs in product([0, 1], repeat=len(ranks))])
        found = np.dot(column[column != 0] > 0, ranks)
        return min(1.0, 2 * min(np.mean(sums <= found), np.mean(sums >= found)))

    differences = np.round(np.random.default_rng(3).normal(0.4, 1, (9, 40)))
    p_value, _ = signed_rank(differences)
    assert p_value == pytest.approx([counted(column) for column in differences.T], abs=1e-12)
    missing = np.vstack([differences, np.full((1, 40), np.nan)])
    assert signed_rank(missing)[0] == pytest.approx(p_value, abs=1e-12)
    clear = np.repeat([[1.0], [0.0]], [14, 2], axis=0)  # the normal approximation says 2e-4
    assert signed_rank(clear)[0][0] == pytest.approx(2 * 0.5**14)


def test_effect_size_by_hand() -> None:
    _, effect = signed_rank(np.array([[1.0], [2.0], [-3.0], [4.0]]))
    assert effect[0] == pytest.approx((1 + 2 + 4 - 3) / 10)
    _, effect = signed_rank(np.array([[0.0], [2.0], [-3.0], [4.0]]))  # Pratt: ranks 2, 3, 4 remain
    assert effect[0] == pytest.approx((2 - 3 + 4) / 9)


def test_equal_methods_rarely_differ_significantly() -> None:
    p_value, _ = signed_rank(np.random.default_rng(2).normal(size=(48, 3000)))
    assert np.mean(p_value < 0.05) == pytest.approx(0.05, abs=0.012)


def test_few_differences_among_many_samples_are_counted_exactly() -> None:
    column = np.zeros((51, 1))
    column[:5] = 1.0  # the normal approximation says 0.025
    assert signed_rank(column)[0][0] == pytest.approx(2 / 2**5)

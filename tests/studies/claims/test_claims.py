"""What is said of a claim: leads by hand, verdicts on planted leads, and how often they are wrong."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gpex_bench.studies.claims.answer import (
    HOLDS,
    NO_DIFFERENCE,
    NOT_SHOWN,
    OPPOSITE,
    answer,
    comparisons,
    detectable,
)
from gpex_bench.studies.claims.measure import leads
from gpex_bench.studies.claims.plan import Claim, Claims

CLAIM = Claim(text="a is better", source="x", method="a", than=("b",), metric="m")


def scores(ahead, n_samples=40, spread=1.0, seed=0):
    """Scores of two methods: a is ahead of b by `ahead[i]` under training seed i."""
    generator = np.random.default_rng(seed)
    rows = []
    for number, lead in enumerate(ahead):
        base = spread * generator.standard_normal(n_samples)
        for method, values in (("a", base + lead), ("b", base)):
            for sample, value in enumerate(values):
                key = {"dataset": "d", "model": "n", "seed": number, "method": method}
                rows.append(key | {"metric": "m", "sample": sample, "score": value})
    return pd.DataFrame(rows)


def found(frame, claim=CLAIM, higher=True, margin=0.1):
    plan = Claims(claims=(claim,), margin=margin)
    return answer(leads(frame, plan.claims, {"m": higher}), plan)


def test_leads_are_mean_differences_in_the_direction_of_the_metric():
    frame = scores([0.5, -0.25])
    higher = leads(frame, [CLAIM], {"m": True})
    lower = leads(frame, [CLAIM], {"m": False})
    np.testing.assert_allclose(higher["ahead"], [0.5, -0.25])
    np.testing.assert_allclose(lower["ahead"], [-0.5, 0.25])

    # The spread is that of the samples, and no lead between the methods is in it.
    own = frame[(frame["seed"] == 0) & (frame["method"] == "b")]["score"]
    assert higher["spread"][0] == pytest.approx(own.std(ddof=0))


def test_interval_and_p_value_are_those_of_scipy():
    ahead = [0.3, 0.5, 0.1, 0.4, 0.2, 0.35]
    row = found(scores(ahead)).table.iloc[0]
    test = stats.ttest_1samp(ahead, 0)
    ends = test.confidence_interval()
    np.testing.assert_allclose([row["low"], row["high"]], [ends.low, ends.high])
    assert row["p_value"] == pytest.approx(test.pvalue)
    assert (row["n_seeds"], row["n_ahead"]) == (6, 6)


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [
        (0.5 + 0.01 * np.arange(8), HOLDS),
        (-0.5 - 0.01 * np.arange(8), OPPOSITE),
        (0.01 * np.tile([1, -1], 4), NO_DIFFERENCE),
        (0.02 + 0.001 * np.arange(8), NO_DIFFERENCE),  # significant, and too small to matter
        (np.tile([1.0, -0.8], 4), NOT_SHOWN),
        (np.array([0.5]), NOT_SHOWN),  # one seed shows nothing
    ],
)
def test_a_claim_of_a_better_method(ahead, verdict):
    assert found(scores(ahead)).table["verdict"].tolist() == [verdict]


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [
        (0.01 * np.tile([1, -1], 4), HOLDS),
        (0.5 + 0.01 * np.arange(8), HOLDS),
        (-0.5 - 0.01 * np.arange(8), OPPOSITE),
        (np.tile([1.0, -0.8], 4), NOT_SHOWN),
    ],
)
def test_a_claim_of_a_method_that_is_not_worse(ahead, verdict):
    claim = Claim(
        text="not worse", source="x", method="a", than=("b",), metric="m", says="not worse"
    )
    assert found(scores(ahead), claim).table["verdict"].tolist() == [verdict]


def test_false_claims_are_rare():
    """Where two methods are alike, no more than one claim in twenty holds (two-sided)."""
    generator = np.random.default_rng(1)
    plan = Claims(claims=(CLAIM,))
    wrong = 0
    for _ in range(300):
        frame = scores(generator.standard_normal(8), n_samples=4)
        table = comparisons(leads(frame, plan.claims, {"m": True}), plan)
        wrong += table["verdict"][0] in (HOLDS, OPPOSITE)
    assert wrong <= 300 * 0.05 + 2 * np.sqrt(300 * 0.05 * 0.95)


def test_the_detectable_lead_is_shown_as_often_as_is_said():
    generator = np.random.default_rng(2)
    n_seeds, power = 8, 0.8
    lead = detectable(1 / np.sqrt(n_seeds), n_seeds, power)
    draws = lead + generator.standard_normal((4000, n_seeds))
    share = (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean()
    assert share == pytest.approx(power, abs=0.03)


def test_a_claim_without_scores_says_so():
    claim = Claim(text="c is better", source="x", method="c", than=("b",), metric="m")
    frame = scores([0.1, 0.2])
    plan = Claims(claims=(CLAIM, claim))
    page = answer(leads(frame, plan.claims, {"m": True}), plan).sentences
    assert "no scores to compare" in page


def test_unknown_names_and_single_seeds_are_refused():
    entries = {"method": {"a": None, "b": None}, "metric": {"m": None}}
    config = SimpleNamespace(seeds=(1, 2), entries=entries)
    Claims(claims=(CLAIM,)).check(config)

    wrong = Claim(text="t", source="x", method="a", than=("z",), metric="m")
    with pytest.raises(ValueError, match=r"claims\.0: unknown method 'z'"):
        Claims(claims=(wrong,)).check(config)
    with pytest.raises(ValueError, match="seeds must be at least 2"):
        Claims(claims=(CLAIM,)).check(SimpleNamespace(seeds=(1,), entries=entries))

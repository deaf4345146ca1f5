"""Which budget reaches the reference: on made-up scores, and against a loop over resamples."""

import numpy as np
import pandas as pd
import pytest

from gpex_bench.statistics.bootstrap import draws
from gpex_bench.studies.budget import faithfulness
from gpex_bench.studies.budget.plan import Budget

BUDGETS = (10, 100, 1000)
PLAN = Budget(budgets=BUDGETS, reference_method="slow", reference_budget=1000, tolerance=0.1)
N = 12
HARD = np.linspace(-0.05, 0.05, N)  # what every method finds hard, alike


def tables(means, seeds=(1, 2), failed=(), spread=0.0):
    """Scores of methods that have these means at the budgets, on N images, and what they cost."""
    scores, runs, seconds = [], [], []
    for method, levels in means.items():
        for budget, level in zip(BUDGETS, levels, strict=True):
            for seed in seeds:
                key = {
                    "dataset": "d",
                    "model": "m",
                    "method": method,
                    "seed": seed,
                    "budget": budget,
                }
                bad = (method, budget) in failed
                fate = (
                    {"status": "failed", "reason": "too small"}
                    if bad
                    else {"status": "ok", "reason": ""}
                )
                runs.append(
                    key | fate | {"n_samples": N, "forward_rows": N * budget, "backward_rows": 0}
                )
                if bad:
                    continue
                pace = 0.1 if method == "quick" else 1.0
                for part, drift in enumerate((0.9, 1.0, 1.1)):
                    time = pace * budget * (drift if method == "quick" else 1)
                    seconds.append(key | {"part": part, "n_samples": 4, "cpu_seconds": 4 * time})
                noise = spread * np.random.default_rng([seed, budget, len(method)]).normal(size=N)
                own = level + HARD + 0.01 * (seed - 1.5) + noise
                scores += [key | {"sample": i, "score": value} for i, value in enumerate(own)]
    return pd.DataFrame(scores), pd.DataFrame(runs), pd.DataFrame(seconds)


def answered(means, plan=PLAN, **how):
    scores, runs, seconds = tables(means, **how)
    curve = faithfulness.curves(scores, runs, seconds)
    return curve, faithfulness.needs(scores, curve, seconds, plan).set_index("method")


def test_the_first_budget_within_the_tolerance_is_the_answer():
    _, needs = answered(
        {"slow": (0.1, 0.5, 0.8), "quick": (0.3, 0.75, 0.76), "poor": (0.1, 0.2, 0.3)}
    )
    assert needs["needed"].to_dict() == {"poor": np.inf, "quick": 100, "slow": 1000}
    assert needs.loc["quick", ["needed_low", "needed_high"]].tolist() == [
        100,
        100,
    ]  # same hardness: nothing varies
    assert needs.loc["poor", "needed_low"] == np.inf and needs.loc["poor", "reached"] == 0
    assert needs.loc["quick", "rows"] == 100
    assert needs.loc["quick", "cpu_seconds"] == pytest.approx(10)  # the mean over the parts
    assert needs.loc["poor", ["rows", "cpu_seconds"]].isna().all()


def test_the_tolerance_decides():
    means = {"slow": (0.1, 0.75, 0.8)}
    assert answered(means)[1].loc["slow", "needed"] == 100
    strict = Budget(budgets=BUDGETS, reference_method="slow", reference_budget=1000, tolerance=0.0)
    assert answered(means, strict)[1].loc["slow", "needed"] == 1000


def test_a_reference_below_zero_is_not_raised_by_the_tolerance():
    _, needs = answered({"slow": (-0.9, -0.5, -0.4), "poor": (-0.9, -0.43, -0.3)})
    assert needs["needed"].to_dict() == {"poor": 100, "slow": 1000}


def test_the_interval_is_that_of_resampled_images():
    """A loop over the resamples, image by image, finds the same share and ends."""
    means = {"slow": (0.4, 0.6, 0.7), "quick": (0.55, 0.62, 0.66)}
    scores, runs, seconds = tables(means, spread=0.15)
    curve = faithfulness.curves(scores, runs, seconds)
    needs = faithfulness.needs(scores, curve, seconds, PLAN).set_index("method")
    wide = scores.groupby(["method", "budget", "sample"])["score"].mean().unstack("sample")
    slow, quick = (
        wide.loc[("slow", 1000)].tolist(),
        {b: wide.loc[("quick", b)].tolist() for b in BUDGETS},
    )
    found = []
    for row in draws("d/m", N)[:2000].tolist():
        goal = 0.9 * sum(slow[i] for i in row) / N
        reached = [b for b in BUDGETS if sum(quick[b][i] for i in row) / N >= goal]
        found.append(reached[0] if reached else np.inf)
    assert len(set(found)) > 1  # the case is not trivial
    assert needs.loc["quick", "reached"] == pytest.approx(np.isfinite(found).mean(), abs=0.03)
    low, high = np.quantile(found, [0.02, 0.98], method="inverted_cdf")
    assert needs.loc["quick", "needed_low"] <= low and needs.loc["quick", "needed_high"] >= high
    assert (
        needs.loc["quick", "needed_low"]
        <= needs.loc["quick", "needed"]
        <= needs.loc["quick", "needed_high"]
    )


def test_the_budget_is_chosen_on_one_half_and_judged_on_the_other():
    """On even images the method is as good as the reference with 10 rows, on odd ones far off."""
    scores, runs, seconds = tables({"slow": (0.1, 0.5, 0.8), "quick": (0.8, 0.8, 0.8)})
    odd = (scores["method"] == "quick") & (scores["sample"] % 2 == 1)
    scores.loc[odd, "score"] -= 0.5
    curve = faithfulness.curves(scores, runs, seconds)
    found = faithfulness.needs(scores, curve, seconds, PLAN).set_index("method").loc["quick"]
    assert found["chosen"] == 10 and found["n_judged"] == N / 2
    assert found["difference"] == pytest.approx(-0.5) and not found["keeps"]
    assert found["needed"] == np.inf  # all images together
    assert found["fewer_rows"] == 100
    assert found["faster_high"] == pytest.approx(1000 / 0.9) and found[
        "faster_low"
    ] == pytest.approx(1000 / 1.1)


def test_a_refused_budget_has_a_reason_and_no_number():
    curve, needs = answered(
        {"slow": (0.1, 0.5, 0.8), "quick": (9.0, 0.8, 0.8)}, failed=[("quick", 10)]
    )
    row = curve[(curve["method"] == "quick") & (curve["budget"] == 10)].iloc[0]
    assert row["status"] == "failed" and row["reason"] == "too small" and np.isnan(row["mean"])
    assert needs.loc["quick", "needed"] == 100
    _, none = answered(
        {"slow": (0.1, 0.5, 0.8), "quick": (1, 1, 1)}, failed=[("quick", b) for b in BUDGETS]
    )
    assert np.isnan(none.loc["quick", "needed"]) and none.loc["quick", "reason"] == "too small"


def test_rows_count_a_backward_row_twice():
    scores, runs, seconds = tables({"slow": (0.1, 0.5, 0.8)})
    curve = faithfulness.curves(scores, runs.assign(backward_rows=runs["forward_rows"]), seconds)
    assert curve["rows"].tolist() == [30, 300, 3000]

"""Means, intervals and comparisons with chance: against hand-made curves, numpy and scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gpex_bench import plots
from gpex_bench.studies.debugging.answer import answer, summarise_rankings
from gpex_bench.studies.debugging.comparisons import compare, interval, summarise
from gpex_bench.studies.debugging.figure import draw_debugging
from gpex_bench.studies.debugging.plan import Debugging

PLAN = Debugging(classes=("3", "8"), per_round=10, rounds=3)
GAINS = {"good": 0.2, "same": 0.0, "bad": -0.2, "random": 0.0}


def curves(n_seeds=5, gains=GAINS):
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(n_seeds):
        level = rng.normal(
            0, 0.05
        )  # common to all rankings of a seed: paired differences do not see it
        for name, gain in gains.items():
            for turn in range(4):
                found = turn * (0.2 + gain / 4) + rng.normal(0, 0.002) * (turn > 0)
                accuracy = 0.5 + level + turn * (0.1 + gain / 4) + rng.normal(0, 0.002)
                rows.append(("digits", "cnn", seed, name, 10 * turn, found, accuracy, 100))
    return pd.DataFrame(
        rows,
        columns=["dataset", "model", "seed", "ranking", "shown", "found", "accuracy", "n_train"],
    )


def test_the_interval_is_scipys():
    values = np.random.default_rng(1).normal(size=5)
    mean, low, high = interval(values)
    expected = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert (mean, low, high) == pytest.approx((values.mean(), *expected))
    assert np.isnan(interval(values[:1])[1:]).all()


def test_the_summary_has_a_row_for_each_point():
    table = curves()
    found = summarise(table)
    assert len(found) == 4 * 4 * 2
    one = found[
        (found.ranking == "good") & (found.shown == 20) & (found.measure == "accuracy")
    ].iloc[0]
    own = table[(table.ranking == "good") & (table.shown == 20)].accuracy
    assert one["mean"] == pytest.approx(own.mean()) and one.n_trainings == 5
    assert one.low < one["mean"] < one.high


def test_gains_are_paired_and_leave_the_start_out():
    table = curves()
    found = compare(table).set_index(["ranking", "measure"])
    later = table[table.shown > 0].groupby(["ranking", "seed"]).accuracy.mean().unstack("ranking")
    assert found.loc[("good", "accuracy"), "gain"] == pytest.approx(
        (later.good - later.random).mean()
    )
    assert found.loc[("good", "accuracy"), "mean"] == pytest.approx(later.good.mean())
    assert (
        found.loc[("good", "accuracy"), "gain_low"]
        > 0
        > found.loc[("bad", "accuracy"), "gain_high"]
    )
    assert (
        found.loc[("same", "accuracy"), "gain_low"]
        < 0
        < found.loc[("same", "accuracy"), "gain_high"]
    )
    assert np.isnan(found.loc[("random", "found"), "gain"])
    difference = (later.good - later.random).to_numpy()
    expected = stats.t.interval(1 - 0.05 / 3, 4, loc=difference.mean(), scale=stats.sem(difference))
    row = found.loc[("good", "accuracy")]
    assert (row.gain_low, row.gain_high) == pytest.approx(expected)


def verdicts(table, measure="found"):
    rankings = summarise_rankings(compare(table))["rankings"]
    return {row["name"]: row[f"{measure}_verdict"] for row in rankings}


@pytest.mark.parametrize("measure", ["found", "accuracy"])
def test_verdicts_follow_the_intervals_of_the_gains(measure):
    expected = {"good": "better", "same": "not significant", "bad": "worse"}
    assert verdicts(curves(), measure) == expected | {"random": "not tested"}

    swapped = verdicts(curves(gains=GAINS | {"good": -0.2, "bad": 0.2}), measure)
    assert swapped["good"] == "worse" and swapped["bad"] == "better"


def test_nothing_is_tested_without_chance_or_with_one_training():
    assert set(verdicts(curves(n_seeds=1)).values()) == {"not tested"}
    assert verdicts(curves(gains={"good": 0.1})) == {"good": "not tested"}


def test_the_best_ranking_is_the_first_row_and_counts_as_better():
    found = summarise_rankings(compare(curves()))
    assert [row["name"] for row in found["rankings"]][::3] == ["good", "bad"]
    assert found["finds_better"] == found["helps_better"] == ["good"]
    assert found["finds_worse"] == found["helps_worse"] == ["bad"]
    first = found["rankings"][0]
    assert first["found_low"] < first["found"] < first["found_high"]
    assert first["found"] == pytest.approx(50, abs=0.5)


def test_the_answer_is_drawn_and_written():
    found = answer(curves(), PLAN)
    means = found.tables["curves"]
    drawing = found.drawings["digits_cnn"]
    lines = {line.get_label(): line for line in drawing.figure.axes[0].lines}
    assert list(lines) == list(GAINS) and lines["random"].get_linestyle() == "--"

    drawn = means.query("ranking == 'good' and measure == 'found'")["mean"]
    assert lines["good"].get_ydata() == pytest.approx(drawn.to_numpy())
    other = answer(curves(), PLAN).drawings["digits_cnn"]
    assert plots.to_svg(drawing, "x") == plots.to_svg(other, "x")

    with pytest.raises(ValueError, match="summary must hold at least one curve"):
        draw_debugging(means.head(0), 100)


@pytest.mark.parametrize("n_seeds", [1, 5])
def test_the_page_shows_figure_and_settings(n_seeds):
    text = answer(curves(n_seeds), PLAN).sentences
    assert text.startswith(f"# {PLAN.question}\n")
    assert "(digits_cnn.svg)" in text
    assert "45 %" in text and "'3'" in text and "'8'" in text
    assert ("[" in text.split("![")[0]) == (n_seeds > 1)  # one training has no interval
    for name in GAINS:
        assert f"| {name} |" in text

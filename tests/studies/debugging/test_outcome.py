"""Means, intervals, comparisons with chance and sentences: against hand-made curves, numpy and scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gpex_bench import plots
from gpex_bench.studies.debugging.answer import debugging
from gpex_bench.studies.debugging.figure import debugging_curves
from gpex_bench.studies.debugging.outcome import compared, interval, sentences, summary
from gpex_bench.studies.debugging.plan import Debugging

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
    found = summary(table)
    assert len(found) == 4 * 4 * 2
    one = found[
        (found.ranking == "good") & (found.shown == 20) & (found.measure == "accuracy")
    ].iloc[0]
    own = table[(table.ranking == "good") & (table.shown == 20)].accuracy
    assert one["mean"] == pytest.approx(own.mean()) and one.n_trainings == 5
    assert one.low < one["mean"] < one.high


def test_gains_are_paired_and_leave_the_start_out():
    table = curves()
    found = compared(table).set_index(["ranking", "measure"])
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


def test_sentences_say_what_the_numbers_say():
    found, accuracy = sentences(compared(curves()))
    assert found.startswith(
        "digits, cnn: averaged over what was shown, the share of the wrong labels found is good 50."
    )
    assert (
        "good is better than random, bad is worse than random, same does not differ clearly from random"
        in accuracy
    )
    swapped = sentences(compared(curves(gains=GAINS | {"good": -0.2, "bad": 0.2})))[1]
    assert "bad is better than random, good is worse than random" in swapped
    alone = sentences(compared(curves(n_seeds=1)))[0]
    assert "of 1 trainings" in alone and "[" not in alone.split("(mean")[0]
    without = sentences(compared(curves(gains={"good": 0.1})))[0]
    assert "nothing was shown at random, so that chance is not known" in without


def test_the_outcome_is_drawn_and_written():
    found = debugging(curves(), Debugging(classes=("3", "8"), per_round=10, rounds=3))
    assert "45% of the training labels of '3' and of '8' are swapped" in found.sentences
    assert "the test labels decide which test samples are asked about" in found.sentences
    drawing = found.drawings["digits_cnn"]
    assert "After 30 shown training samples: good: " in drawing.alt
    lines = {line.get_label(): line for line in drawing.figure.axes[0].lines}
    assert list(lines) == list(GAINS) and lines["random"].get_linestyle() == "--"
    assert lines["good"].get_ydata() == pytest.approx(
        found.curves.query("ranking == 'good' and measure == 'found'")["mean"].to_numpy()
    )
    assert plots.to_svg(drawing, "x") == plots.to_svg(
        debugging(curves(), Debugging(classes=("3", "8"), per_round=10, rounds=3)).drawings[
            "digits_cnn"
        ],
        "x",
    )
    with pytest.raises(ValueError, match="summary must hold at least one curve"):
        debugging_curves(found.curves.head(0), 100)

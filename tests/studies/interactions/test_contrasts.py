"""Planted differences between networks are significant, others are not."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import theilslopes, ttest_1samp

from gpex_bench.statistics.means import means
from gpex_bench.studies.interactions import contrasts
from tests.studies.interactions.made_up import PLAN, shares


def changes(frame, score="interaction"):
    table = contrasts.compare_networks(frame, PLAN.ladder, PLAN.twins)
    return table[table["score"] == score].groupby("question", sort=False)


def test_a_rise_along_the_ladder_and_a_fall_to_the_twin_are_significant():
    (_, ladder), (question, twin) = changes(shares(lambda *_: 0.05))
    assert question == "new → robust"
    assert (ladder["change"] == "up").all() and (twin["change"] == "down").all()
    np.testing.assert_allclose(ladder["slope_per_step"], 0.05, atol=0.01)
    np.testing.assert_allclose(twin["slope_per_step"], -0.05, atol=0.01)
    assert ((ladder["low"] < 0.05) & (ladder["high"] > 0.05)).mean() > 0.7
    assert (
        (ladder["n_images"] == 30).all()
        and (ladder["n_seeds"] == 3).all()
        and (ladder["n_matched"] == 30).all()
    )


def test_nothing_is_significant_without_a_difference_or_where_seeds_disagree():
    assert (
        contrasts.compare_networks(shares(lambda *_: 0.0), PLAN.ladder, PLAN.twins)["change"]
        == "not significant"
    ).all()
    frame = shares(lambda *_: 0.05)
    later = (frame["model"] == "new") & (frame["seed"] == 1)
    frame.loc[later, "interaction"] -= (
        0.2  # one training in three goes the other way, on all images
    )
    for _, rows in changes(frame):
        assert (rows["change"] == "not significant").all() and (rows["p_seeds"] > 0.05).all()
    one = frame[frame["seed"] == 2]
    for _, rows in changes(one):
        assert (
            (rows["change"] == "not significant").all()
            and rows["p_seeds"].isna().all()
            and (rows["p_images"] < 0.01).all()
        )


def test_holm_is_over_the_combinations_of_a_question():
    frame = shares(lambda output, fill, mask: 0.02 * (output == "logit"), n_images=12, noise=0.05)
    raw = []
    for choice, part in frame.groupby(list(contrasts.CHOICES), sort=False):
        wide = part.pivot_table(index=["sample", "seed"], columns="model", values="interaction")
        gap = (wide["robust"] - wide["new"]).groupby("sample").mean()
        raw.append((choice, means(gap.to_numpy()[None]).test[2][0]))
    _, (_, twin) = changes(frame)
    smallest = min(p for _, p in raw)
    assert twin["p_images"].min() == pytest.approx(min(1, 8 * smallest), rel=1e-6)


def test_certainty_is_matched():
    """On half of the images the new network is surer: among the others the rise is there or not."""
    frame = shares(
        lambda *_: 0.05, sure=lambda model, sample: 0.99 if model == "new" and sample % 2 else 0.9
    )
    (_, ladder), _ = changes(frame)
    assert (ladder["n_matched"] == 15).all()
    np.testing.assert_allclose(ladder["matched_slope"], 0.05, atol=0.02)
    gone = frame.copy()
    gone.loc[(gone["sample"] % 2 == 0), "interaction"] = (
        0.3  # the rise is there on images of unequal certainty only
    )
    (_, ladder), _ = changes(gone)
    np.testing.assert_allclose(ladder["matched_slope"], 0, atol=1e-9)


def test_slope_interval_and_seeds_are_about_one_statistic():
    """Theil-Sen slopes of images do not average to the slope of the mean curve."""
    frame = shares(lambda *_: 0.05)
    frame["interaction"] += np.random.default_rng(1).standard_t(1.5, len(frame)) * 0.2
    (_, ladder), _ = changes(frame)
    middle = (ladder["seed_low"] + ladder["seed_high"]) / 2  # a t interval is symmetric
    np.testing.assert_allclose(ladder["slope_per_step"], middle, atol=1e-12)
    one = frame.query("output == 'logit' and fill == 'blur' and mask == 'binary'")
    wide = one.pivot_table(index=["seed", "sample"], columns="model", values="interaction")
    slopes = [theilslopes(row, [0, 1, 2]).slope for row in wide[list(PLAN.ladder)].to_numpy()]
    by_seed = pd.Series(slopes, index=wide.index).groupby("seed").mean()
    found = ladder.query("output == 'logit' and fill == 'blur' and mask == 'binary'").iloc[0]
    assert found["slope_per_step"] == pytest.approx(by_seed.mean())
    assert found["p_seeds"] == pytest.approx(ttest_1samp(by_seed, 0).pvalue)


def test_dependence_is_a_paired_difference_of_slopes():
    """A rise of 0.05 on one scale and of 0.02 on the other: both significant, and different."""
    frame = shares(lambda output, fill, mask: 0.05 if output == "logit" else 0.02)
    table = contrasts.compare_choices(frame, PLAN.ladder, PLAN.twins)
    ladder = table[
        (table["score"] == "interaction") & (table["question"] == "old → middle → new")
    ].set_index("choice")
    assert ladder["depends"].to_dict() == {"output": True, "fill": False, "mask": False}
    wide = frame.pivot_table(
        index=["sample", "seed", "output", "fill", "mask"], columns="model", values="interaction"
    )
    slopes = ((wide["new"] - wide["old"]) / 2).rename("slope")  # not Theil-Sen's, near it
    by_image = slopes.groupby(["sample", "output"]).mean().unstack("output")
    assert ladder.loc["output", "difference"] == pytest.approx(
        (by_image["probability"] - by_image["logit"]).mean(), abs=0.003
    )
    assert ladder.loc["output", "low"] < -0.03 < ladder.loc["output", "high"]
    assert ladder.loc["output", ["first", "second"]].tolist() == ["logit", "probability"]


def test_a_difference_of_significance_is_no_dependence():
    """Under one mask the slope is significant, under the noisier one not; they do not differ."""
    frame = shares(lambda *_: 0.03)
    noisy = frame["mask"] == "continuous"
    frame.loc[noisy, "interaction"] += np.random.default_rng(2).normal(0, 0.6, int(noisy.sum()))
    (_, ladder), _ = changes(frame)
    assert set(ladder["change"]) == {"up", "not significant"}
    assert not contrasts.compare_choices(frame, PLAN.ladder, PLAN.twins)["depends"].any()


def test_images_without_shares_are_left_out():
    frame = shares(lambda *_: 0.05)
    frame.loc[frame["sample"] < 10, "interaction"] = np.nan  # constant answers
    (_, ladder), _ = changes(frame)
    assert (ladder["n_images"] == 20).all()
    frame["interaction"] = np.nan
    (_, ladder), _ = changes(frame)
    assert (ladder["n_images"] == 0).all() and (ladder["change"] == "not significant").all()

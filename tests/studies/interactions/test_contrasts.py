"""Planted differences between networks are told, others are not, and the sentences say on what the answer depends."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import theilslopes, ttest_1samp, wilcoxon

from gpex_bench.plots import to_svg
from gpex_bench.studies.interactions import contrasts
from gpex_bench.studies.interactions.answer import interactions
from gpex_bench.studies.interactions.plan import Interactions

MODELS = ("old", "middle", "new", "robust")
PLAN = Interactions(ladder=MODELS[:3], twins=(("robust", "new"),))


def shares(step, n_images=30, seeds=(1, 2, 3), noise=0.02, sure=None):
    """Interaction rises by step[output, fill, mask] from a network to the next; the robust one is as the middle one."""
    generator = np.random.default_rng(0)
    rows = []
    for output in PLAN.outputs:
        for fill in PLAN.fills:
            for mask in PLAN.masks:
                for model, place in zip(MODELS, (0, 1, 2, 1), strict=True):
                    for seed in seeds:
                        for sample in range(n_images):
                            share = (
                                0.3
                                + 0.01 * sample
                                + place * step(output, fill, mask)
                                + noise * generator.normal()
                            )
                            probability = 0.9 if sure is None else sure(model, sample)
                            pairs = 0.1 + 0.1 * place if mask == "binary" else np.nan
                            row = (share, 0.5, pairs, probability)
                            rows.append(("d", model, seed, sample, output, fill, mask, *row))
    columns = [
        "dataset",
        "model",
        "seed",
        "sample",
        *contrasts.CHOICES,
        *contrasts.SCORES,
        contrasts.PAIRS,
        "probability",
    ]
    return pd.DataFrame(rows, columns=columns)


def accuracies(withstood=0.8, radius=0.01):
    """Accuracies differ by 1 point between seeds, under attack by 2; the robust one keeps `withstood`, others 0.3."""
    rows = [
        ("d", model, seed, 0.88 + 0.02 * place + 0.01 * seed, under + 0.02 * seed, radius, 200)
        for place, (model, under) in enumerate(zip(MODELS, (0.3, 0.3, 0.3, withstood), strict=True))
        for seed in (1, 2, 3)
    ]
    of_networks = ["test_accuracy", "attacked_accuracy", "attack_radius", "n_attacked"]
    return pd.DataFrame(rows, columns=["dataset", "model", "seed", *of_networks])


def changes(frame, score="interaction"):
    table = contrasts.compared(frame, PLAN.ladder, PLAN.twins)
    return table[table["score"] == score].groupby("question", sort=False)


def test_a_rise_along_the_ladder_and_a_fall_to_the_twin_are_told():
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


def test_nothing_is_told_where_there_is_nothing_or_where_seeds_disagree():
    assert (
        contrasts.compared(shares(lambda *_: 0.0), PLAN.ladder, PLAN.twins)["change"] == "not told"
    ).all()
    frame = shares(lambda *_: 0.05)
    later = (frame["model"] == "new") & (frame["seed"] == 1)
    frame.loc[later, "interaction"] -= (
        0.2  # one training in three goes the other way, on all images
    )
    for _, rows in changes(frame):
        assert (rows["change"] == "not told").all() and (rows["p_seeds"] > 0.05).all()
    one = frame[frame["seed"] == 2]
    for _, rows in changes(one):
        assert (
            (rows["change"] == "not told").all()
            and rows["p_seeds"].isna().all()
            and (rows["p_images"] < 0.01).all()
        )


def test_holm_is_over_the_combinations_of_a_question():
    frame = shares(lambda output, fill, mask: 0.02 * (output == "logit"), n_images=12, noise=0.05)
    raw = []
    for choice, part in frame.groupby(list(contrasts.CHOICES), sort=False):
        wide = part.pivot_table(index=["sample", "seed"], columns="model", values="interaction")
        gap = (wide["robust"] - wide["new"]).groupby("sample").mean()
        raw.append((choice, wilcoxon(gap, zero_method="pratt").pvalue))
    _, (_, twin) = changes(frame)
    smallest = min(p for _, p in raw)
    assert twin["p_images"].min() == pytest.approx(min(1, 8 * smallest), rel=1e-6)


def test_certainty_is_matched():
    """Half of the images of the new network are much surer: among the others the rise is there or not."""
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
    """Theil-Sen slopes of images do not average to the slope of the mean curve: heavy tails, three networks."""
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
    """A rise of 0.05 on one scale and of 0.02 on the other is told on both; its size still depends on the scale."""
    frame = shares(lambda output, fill, mask: 0.05 if output == "logit" else 0.02)
    table = contrasts.dependence(frame, PLAN.ladder, PLAN.twins)
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
    """The slope is told under one mask and, because its noise is larger, not under the other: no difference is told."""
    frame = shares(lambda *_: 0.03)
    noisy = frame["mask"] == "continuous"
    frame.loc[noisy, "interaction"] += np.random.default_rng(2).normal(0, 0.6, int(noisy.sum()))
    (_, ladder), _ = changes(frame)
    assert set(ladder["change"]) == {"up", "not told"}
    found = interactions(frame, accuracies(), PLAN)
    assert "that it depends on output, fill or mask is not told. Among" in found.sentences
    assert not found.choices["depends"].any()


def test_sentences_say_what_the_answer_depends_on():
    found = interactions(
        shares(lambda output, fill, mask: 0.05 if output == "logit" else -0.05), accuracies(), PLAN
    )
    said = found.sentences
    assert (
        "d, old → middle → new: the interaction share rises under 4 of 8 combinations (logit, baseline, binary;"
        in said
    )
    assert "falls under 4 of 8 combinations (probability, baseline, binary;" in said
    assert "; it depends on the output (probability minus logit -0.0" in said
    assert "for the 8 combinations, and over the 3 training seeds (t test, not corrected)" in said
    assert f"sampled with {PLAN.points} base points an image" in said
    assert (
        "the background's share shows no clear change under all 8 combinations; slope per step from 0.000 to 0.000"
        in said
    )
    assert (
        "old 90.0 % (lowest seed 89.0 %; 0.900)" in said
        and "The accuracies differ by up to 6.0 points" in said
    )
    found = interactions(
        shares(lambda output, fill, mask: 0.05 * (fill == "blur")), accuracies(), PLAN
    )
    assert "; it depends on the fill (blur minus baseline 0.0" in found.sentences
    found = interactions(shares(lambda *_: 0.05), accuracies(), PLAN)
    assert (
        "the interaction share rises under all 8 combinations; slope per step from"
        in found.sentences
    )
    assert "8 of these 8 changes keep direction and an interval without 0." in found.sentences


def test_sentences_say_whether_the_robust_twin_is_robust():
    frame = shares(lambda *_: 0.05)
    found = interactions(frame, accuracies(), PLAN)
    assert (
        "under attack (projected gradient ascent, 10 steps, each entry by at most 0.01): old 34.0 %"
        in found.sentences
    )
    assert (
        "robust 84.0 % (lowest seed 82.0 %). robust withstands more than new (difference 50.0 points"
        in found.sentences
    )
    of = found.networks.set_index("model").loc["robust"]
    assert of[
        ["attacked_accuracy", "attacked_lowest", "attacked_highest"]
    ].tolist() == pytest.approx([0.84, 0.82, 0.86])
    for withstood in (0.3, 0.2):
        said = interactions(frame, accuracies(withstood), PLAN).sentences
        assert "That robust withstands more than new is not told (difference " in said
        assert "comparing them is no test of robustness." in said
    assert "under attack" not in interactions(frame, accuracies(radius=0.0), PLAN).sentences


def test_table_and_figure_hold_every_network_and_combination():
    found = interactions(shares(lambda *_: 0.05), accuracies(), PLAN)
    assert len(found.table) == (8 * 2 + 4) * 4 and (found.table["n_images"] == 30).all()
    one = found.table.query("score == 'interaction' and model == 'old' and output == 'logit'").iloc[
        0
    ]
    assert one["low"] < 0.3 + 0.145 < one["high"] and one["seed_sd"] < 0.02
    pairs = found.table[found.table["score"] == contrasts.PAIRS]
    assert set(pairs["mask"]) == {"binary"} and not set(pairs["mean"].round(9)) - {0.1, 0.2, 0.3}
    assert (
        "over their 4 combinations): old 0.100 to 0.100, middle 0.200 to 0.200" in found.sentences
    )
    svg = to_svg(found.drawings["d"], "d")
    for word in ("old (90 %)", "robust (96 %)", "blur fill, binary masks", "logit", "probability"):
        assert word in svg
    assert svg == to_svg(
        interactions(shares(lambda *_: 0.05), accuracies(), PLAN).drawings["d"], "d"
    )


def test_images_without_shares_are_left_out():
    frame = shares(lambda *_: 0.05)
    frame.loc[frame["sample"] < 10, "interaction"] = np.nan  # constant answers
    (_, ladder), _ = changes(frame)
    assert (ladder["n_images"] == 20).all()
    frame["interaction"] = np.nan
    (_, ladder), _ = changes(frame)
    assert (ladder["n_images"] == 0).all() and (ladder["change"] == "not told").all()

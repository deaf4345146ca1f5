"""Planted differences between networks are told, others are not, and the sentences say on what the answer depends."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from gpex_bench import contrasts
from gpex_bench.interactions.plan import Plan
from gpex_bench.plots import to_svg
from gpex_bench.stages.interactions import interactions

MODELS = ("old", "middle", "new", "robust")
PLAN = Plan(ladder=MODELS[:3], twins=(("robust", "new"),))


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
                            share = 0.3 + 0.01 * sample + place * step(output, fill, mask) + noise * generator.normal()
                            probability = 0.9 if sure is None else sure(model, sample)
                            rows.append(("d", model, seed, sample, output, fill, mask, share, 0.5, probability))
    columns = ["dataset", "model", "seed", "sample", *contrasts.CHOICES, *contrasts.SCORES, "probability"]
    return pd.DataFrame(rows, columns=columns)


def accuracies():
    rows = [("d", model, seed, 0.9 + 0.02 * place) for place, model in enumerate(MODELS) for seed in (1, 2, 3)]
    return pd.DataFrame(rows, columns=["dataset", "model", "seed", "test_accuracy"])


def changes(frame, score="interaction"):
    table = contrasts.compared(frame, PLAN.ladder, PLAN.twins)
    return table[table["score"] == score].groupby("question", sort=False)


def test_a_rise_along_the_ladder_and_a_fall_to_the_twin_are_told():
    (_, ladder), (question, twin) = changes(shares(lambda *_: 0.05))
    assert question == "new → robust"
    assert (ladder["change"] == "up").all() and (twin["change"] == "down").all()
    np.testing.assert_allclose(ladder["mean"], 0.05, atol=0.01)
    np.testing.assert_allclose(twin["mean"], -0.05, atol=0.01)
    assert ((ladder["low"] < 0.05) & (ladder["high"] > 0.05)).mean() > 0.7
    assert (ladder["n_images"] == 30).all() and (ladder["n_seeds"] == 3).all() and (ladder["n_matched"] == 30).all()


def test_nothing_is_told_where_there_is_nothing_or_where_seeds_disagree():
    assert (contrasts.compared(shares(lambda *_: 0.0), PLAN.ladder, PLAN.twins)["change"] == "not told").all()
    frame = shares(lambda *_: 0.05)
    later = (frame["model"] == "new") & (frame["seed"] == 1)
    frame.loc[later, "interaction"] -= 0.2  # one training in three goes the other way, on all images
    for _, rows in changes(frame):
        assert (rows["change"] == "not told").all() and (rows["p_seeds"] > 0.05).all()
    one = frame[frame["seed"] == 2]
    for _, rows in changes(one):
        assert (rows["change"] == "not told").all() and rows["p_seeds"].isna().all() and (rows["p_images"] < 0.01).all()


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
    frame = shares(lambda *_: 0.05, sure=lambda model, sample: 0.99 if model == "new" and sample % 2 else 0.9)
    (_, ladder), _ = changes(frame)
    assert (ladder["n_matched"] == 15).all()
    np.testing.assert_allclose(ladder["matched_mean"], 0.05, atol=0.02)
    gone = frame.copy()
    gone.loc[(gone["sample"] % 2 == 0), "interaction"] = 0.3  # the rise is there on images of unequal certainty only
    (_, ladder), _ = changes(gone)
    np.testing.assert_allclose(ladder["matched_mean"], 0, atol=1e-9)


def test_sentences_say_what_the_answer_depends_on():
    found = interactions(shares(lambda output, fill, mask: 0.05 if output == "logit" else -0.05), accuracies(), PLAN)
    said = found.sentences
    assert (
        "d, old → middle → new: the interaction share rises under 4 of 8 combinations (logit, baseline, binary;" in said
    )
    assert "falls under 4 of 8 combinations (probability, baseline, binary;" in said
    assert "its direction depends on the output." in said
    assert "for the 8 combinations, and over the 3 training seeds (t test, not corrected)" in said
    assert f"sampled with {PLAN.points} base points an image" in said
    assert (
        "the background's share shows no clear change under all 8 combinations; mean step from 0.000 to 0.000" in said
    )
    assert "old 90.0 % (0.900)" in said and "The accuracies differ by up to 6.0 points" in said
    found = interactions(shares(lambda output, fill, mask: 0.05 * (fill == "blur")), accuracies(), PLAN)
    assert "whether it can be told depends on the fill." in found.sentences
    found = interactions(shares(lambda *_: 0.05), accuracies(), PLAN)
    assert "the interaction share rises under all 8 combinations; mean step from" in found.sentences
    assert "8 of these 8 changes keep direction and an interval without 0." in found.sentences


def test_table_and_figure_hold_every_network_and_combination():
    found = interactions(shares(lambda *_: 0.05), accuracies(), PLAN)
    assert len(found.table) == 8 * 2 * 4 and (found.table["n_images"] == 30).all()
    one = found.table.query("score == 'interaction' and model == 'old' and output == 'logit'").iloc[0]
    assert one["low"] < 0.3 + 0.145 < one["high"] and one["seed_sd"] < 0.02
    svg = to_svg(found.drawings["d"], "d")
    for word in ("old (90 %)", "robust (96 %)", "blur fill, binary masks", "logit", "probability"):
        assert word in svg
    assert svg == to_svg(interactions(shares(lambda *_: 0.05), accuracies(), PLAN).drawings["d"], "d")


def test_images_without_shares_are_left_out():
    frame = shares(lambda *_: 0.05)
    frame.loc[frame["sample"] < 10, "interaction"] = np.nan  # constant answers
    (_, ladder), _ = changes(frame)
    assert (ladder["n_images"] == 20).all()
    frame["interaction"] = np.nan
    (_, ladder), _ = changes(frame)
    assert (ladder["n_images"] == 0).all() and (ladder["change"] == "not told").all()

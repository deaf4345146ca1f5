"""What the page on interactions shows: counts of changes, what holds, robustness, spreads."""

import pandas as pd
import pytest

from gpex_bench.plots import to_svg
from gpex_bench.studies.interactions import contrasts
from gpex_bench.studies.interactions.answer import (
    answer,
    compare_robustness,
    compare_spreads,
    count_changes,
    summarise_networks,
)
from tests.studies.interactions.made_up import PLAN, accuracies, shares


def counted(frame):
    """Return the counts by question and share."""
    changes = contrasts.compare_networks(frame, PLAN.ladder, PLAN.twins)
    choices = contrasts.compare_choices(frame, PLAN.ladder, PLAN.twins)
    return {(row["question"], row["label"]): row for row in count_changes(changes, choices)}


LADDER = ("old → middle → new", "interaction share")


def test_changes_are_counted_by_direction_and_choice():
    rows = counted(shares(lambda output, fill, mask: 0.05 if output == "logit" else -0.05))
    row = rows[LADDER]
    assert row["n"] == 8 and len(row["up"]) == len(row["down"]) == 4 and not row["unclear"]
    assert "logit, baseline, binary" in row["up"] and "probability, blur, binary" in row["down"]
    assert [(choice["choice"], choice["second"]) for choice in row["depends"]] == [
        ("output", "probability")
    ]
    assert row["depends"][0]["difference"] == pytest.approx(-0.1, abs=0.01)
    assert row["least"] < -0.04 and row["most"] > 0.04

    background = rows["old → middle → new", "background's share"]
    assert len(background["unclear"]) == 8 and not background["depends"]


def test_changes_that_hold_at_equal_certainty_are_counted():
    assert counted(shares(lambda *_: 0.05))[LADDER]["n_kept"] == 8

    def sure(model, sample):
        return 0.99 if model == "new" and sample % 2 else 0.9

    gone = shares(lambda *_: 0.05, sure=sure)
    gone.loc[gone["sample"] % 2 == 0, "interaction"] = 0.3  # where the networks are equally sure
    row = counted(gone)[LADDER]
    assert row["n_changed"] > 0 and row["n_kept"] == 0
    assert row["fewest_matched"] == row["most_matched"] == 15


@pytest.mark.parametrize(("withstood", "is_more"), [(0.8, True), (0.3, False), (0.2, False)])
def test_robustness_is_a_paired_difference_over_the_seeds(withstood, is_more):
    (row,) = compare_robustness(accuracies(withstood), PLAN.twins)
    assert (row["robust"], row["plain"]) == ("robust", "new")
    assert row["mean"] == pytest.approx(withstood - 0.3) and row["is_more_robust"] == is_more


def test_robustness_is_not_compared_without_an_attack():
    assert compare_robustness(accuracies(radius=0.0), PLAN.twins) == []


def test_spreads_are_medians_over_networks_and_over_combinations():
    table = pd.DataFrame(
        [
            (model, output, "blur", "binary", "interaction", mean)
            for model, output, mean in (
                ("a", "logit", 0.1),
                ("a", "probability", 0.3),
                ("b", "logit", 0.2),
                ("b", "probability", 0.6),
            )
        ],
        columns=["model", *contrasts.CHOICES, "score", "mean"],
    )
    (row,) = compare_spreads(table)
    assert row["between_combinations"] == pytest.approx((0.2 + 0.4) / 2)
    assert row["between_networks"] == pytest.approx((0.1 + 0.3) / 2)


def test_networks_are_summed_up_over_the_seeds():
    found = summarise_networks(shares(lambda *_: 0.05), accuracies()).set_index("model")
    attacked = found.loc["robust", ["attacked_accuracy", "attacked_lowest", "attacked_highest"]]
    assert attacked.tolist() == pytest.approx([0.84, 0.82, 0.86])
    assert found.loc["old", ["test_accuracy", "lowest"]].tolist() == pytest.approx([0.9, 0.89])
    assert found.loc["old", "probability"] == pytest.approx(0.9)
    assert (found["n_images"] == 30).all()


def test_table_and_figure_hold_every_network_and_combination():
    found = answer(shares(lambda *_: 0.05), accuracies(), PLAN)
    table = found.table
    assert len(table) == (8 * 2 + 4) * 4 and (table["n_images"] == 30).all()

    own = table.query("score == 'interaction' and model == 'old' and output == 'logit'").iloc[0]
    assert own["low"] < 0.3 + 0.145 < own["high"] and own["seed_sd"] < 0.02
    pairs = table[table["score"] == contrasts.PAIRS]
    assert set(pairs["mask"]) == {"binary"} and set(pairs["mean"].round(9)) == {0.1, 0.2, 0.3}

    svg = to_svg(found.drawings["d"], "d")
    for word in ("old (90 %)", "robust (96 %)", "blur fill, binary masks", "logit", "probability"):
        assert word in svg
    other = answer(shares(lambda *_: 0.05), accuracies(), PLAN)
    assert svg == to_svg(other.drawings["d"], "d")


@pytest.mark.parametrize("step", [0.0, 0.05])
def test_the_page_shows_networks_figure_and_settings(step):
    found = answer(shares(lambda *_: step), accuracies(), PLAN)
    assert found.sentences.startswith(f"# {PLAN.question}\n")
    assert "(d.svg)" in found.sentences and "| robust |" in found.sentences
    assert f"{PLAN.points} base points" in found.sentences
    assert ("8 of 8" in found.sentences) == (step > 0)

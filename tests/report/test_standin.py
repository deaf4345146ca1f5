"""Whether surrogates stand in for networks: the table's numbers, and the sentence on them."""

import pandas as pd
import pytest

from gpex_bench.report import standin
from tests.vocabulary import frames as synthetic
from tests.vocabulary import report as made_up

NONE = pd.DataFrame(columns=["dataset", "model", "surrogate", "wall_seconds"])


def agreement(*rows):
    """Return R² (and coverage) over all heads: network, split, R², coverage."""
    found = []
    for dataset, split, r2, coverage in rows:
        place = {"dataset": dataset, "model": "m", "surrogate": "gpex", "split": split}
        for statistic, mean in (("mean_r2", r2), ("mean_calibrated_coverage_90", coverage)):
            found.append({**place, "head": "all", "statistic": statistic, "mean": mean})
    return pd.DataFrame(found)


GOOD = [("d", "test", 0.99, 0.9), ("d", "ood", 0.97, 0.8), ("e", "test", 0.98, 0.92)]


def one(*rows):
    """Return what is known of the surrogate, and its sentence."""
    found = standin.stand_ins(agreement(*rows), [])
    (sentence,) = standin.sentences(found)
    return found[0], sentence


def test_a_surrogate_that_is_good_everywhere():
    found, sentence = one(*GOOD)
    assert (found.good, found.weak, found.lowest) == (("test", "ood"), (), 0.97)
    assert "all 2 networks well on test and out-of-distribution inputs (R² at least 0.970)." in (
        sentence
    )
    assert "hold 90 % to 92 % of the outputs on test" in sentence.replace("\N{NO-BREAK SPACE}", " ")


def test_where_it_does_not_stand_in_is_named():
    found, sentence = one(*GOOD, ("e", "ood", 0.4, 0.3), ("e", "mixed", float("nan"), 0.9))
    assert [(weak.place, weak.split) for weak in found.weak] == [("e (m)", "ood")]
    assert "well on test inputs" in sentence
    assert "but not on out-of-distribution inputs of e (m) (0.40)" in sentence


def test_a_surrogate_that_is_good_nowhere_or_undefined():
    assert "does not reproduce the outputs well (R² below 0.95)" in one(("d", "test", 0.5, 0.9))[1]
    assert "has no R²" in one(("d", "test", float("nan"), 0.9))[1]


def test_only_surrogates_that_explain_are_named_where_some_do():
    found = standin.stand_ins(made_up.inputs()["agreement"], made_up.METHODS)
    assert [match.surrogate for match in found] == ["gpex"]
    without = [{**card, "surrogate": None} for card in made_up.METHODS]
    every = standin.stand_ins(made_up.inputs()["agreement"], without)
    assert {match.surrogate for match in every} == set(synthetic.SURROGATES)


def test_the_table_has_the_numbers_of_the_frame():
    frame = made_up.inputs()["agreement"]
    rows = standin.table(frame, synthetic.surrogate_costs(), synthetic.surrogates())
    assert len(rows) == 3 * len(synthetic.SURROGATES)
    for row in rows:
        key = (row["dataset"], row["model"], row["surrogate"], "test", "all", "mean_r2")
        assert (
            row["r2"][0]
            == frame.set_index(["dataset", "model", "surrogate", "split", "head", "statistic"]).loc[
                key, "mean"
            ]
        )
        assert row["seconds"] == pytest.approx(60 * synthetic.SURROGATES[row["surrogate"]])
        assert row["is_exact"] == (row["surrogate"] == "last_layer")
    assert standin.table(frame, NONE, [])[0]["seconds"] != rows[0]["seconds"]

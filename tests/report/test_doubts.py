"""What a run cannot say is said, and the headline is confronted with planted truth."""

import pandas as pd

from gpex_bench.report import doubts
from tests.report.test_verdict import finding
from tests.vocabulary import report as made_up

OUTCOMES = pd.DataFrame(
    [("d", "m", "srg", "ok", 100), ("e", "m", "srg", "ok", 64), ("e", "m", "road", "ok", 8)],
    columns=["dataset", "model", "metric", "state", "n_samples"],
)
FAMILIES = pd.DataFrame({"n_families": [40, 40], "expected_false": [1.6, 2.0]})


def said(n_networks, families=FAMILIES):
    """Return what a run of so many networks cannot say."""
    found = [finding(dataset=f"d{at}") for at in range(n_networks)]
    return doubts.sentences(doubts.limits(OUTCOMES, "srg", found, families, None))


def test_few_networks_samples_and_false_claims_are_stated():
    samples, networks, false = said(3)
    assert "64 to 100 samples" in samples and '"not shown to differ"' in samples
    assert "With 3 networks (fewer than 6) nothing is tested over networks" in networks
    assert "80 families" in false and "at most 4 of them are expected" in false


def test_nothing_is_stated_that_does_not_hold():
    assert len(said(6)) == 2
    assert len(said(6, None)) == 1
    empty = doubts.limits(OUTCOMES.iloc[:0], "srg", [], None, None)
    assert doubts.sentences(empty) == []


def test_the_headline_is_confronted_with_the_truth():
    table = made_up.conclusions()["truth_agreement"]
    (found,) = doubts.confrontations(table, "srg")
    assert found.overrated == ("lime", 2, 7) and found.underrated == ("sensitivity", 8, 1)
    (sentence,) = doubts.in_words([found], "srg")
    assert "τ 0.27 [0.17, 0.37]" in sentence and "lime too high (place 2, by truth 7)" in sentence
    assert "sensitivity too low (place 8, by truth 1)" in sentence

    alike = table.assign(overrated="", underrated="")
    (sentence,) = doubts.in_words(doubts.confrontations(alike, "srg"), "srg")
    assert "too high" not in sentence
    assert doubts.confrontations(None, "srg") == []
    assert [row["metric"] for row in doubts.best_metrics(table)] == ["deletion", "srg"]

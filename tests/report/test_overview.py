"""The overview's signs follow verdicts against blind controls, not scores."""

import pandas as pd
import pytest

from gpex_bench.report import overview
from tests.vocabulary import report as made_up

METHODS = [
    {"method": "a", "kind": "gradient", "role": "method", "is_blind": False},
    {"method": "random", "kind": "control", "role": "random", "is_blind": True},
    {"method": "edges", "kind": "control", "role": "edge detector", "is_blind": True},
    {"method": "oracle", "kind": "control", "role": "oracle", "is_blind": False},
]


def sign(random, edges, state="ok", oracle="worse"):
    """Return what is said of method a by its verdicts over the controls."""
    place = {"dataset": "d", "model": "m", "metric": "srg", "method": "a"}
    words = {"random": random, "edges": edges, "oracle": oracle}
    pairs = [{**place, "other": name, "verdict": word} for name, word in words.items() if word]
    outcomes = pd.DataFrame([{**place, "state": state, "mean": 0.1}])
    columns = [*place, "other", "verdict"]
    (text,) = overview.overview(outcomes, pd.DataFrame(pairs, columns=columns), METHODS)[
        "against_blind"
    ]
    return text


@pytest.mark.parametrize(
    ("random", "edges", "text"),
    [
        ("better", "better", overview.ABOVE),
        ("better", "equal", overview.SOME),
        ("better", "not shown to differ", overview.SOME),
        ("equal", "not shown to differ", overview.LEVEL),
        ("better", "worse", overview.BELOW),
        ("", "", overview.ALONE),
    ],
)
def test_a_sign_follows_the_verdicts(random, edges, text):
    assert sign(random, edges) == text
    # The oracle is no blind control.
    assert sign(random, edges, oracle="better") == text


def test_what_failed_or_does_not_apply_has_no_verdict():
    assert sign("better", "better", state="not_applicable") == overview.NONE
    assert sign("better", "better", state="timeout") == overview.FAILED


def test_a_page_has_a_row_a_method_and_nothing_that_does_not_apply():
    outcomes = made_up.inputs()["outcomes"]
    found = overview.overview(outcomes, made_up.conclusions()["pairs"], made_up.METHODS)
    tables = overview.tables(found, outcomes, made_up.METHODS, made_up.METRICS, "srg")
    assert [table["dataset"] for table in tables] == ["breast_cancer", "mnist5k", "shapes"]
    for table in tables:
        assert sum(n for _, n in table["spans"]) == len(table["columns"])
        assert {len(row["cells"]) for row in table["rows"]} == {len(table["columns"])}
        assert not made_up.CONTROLS & {row["method"] for row in table["rows"]}
    by_name = {table["dataset"]: table for table in tables}
    assert "mass_accuracy" in by_name["shapes"]["columns"]
    assert "mass_accuracy" not in by_name["mnist5k"]["columns"]

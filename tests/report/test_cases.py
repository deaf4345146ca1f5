"""Which explainer for which case: cases follow from what methods declare, answers from tables."""

import math

import pytest

from gpex_bench.report import cases, headline, telling
from tests.report.test_verdict import AT, tables

NEEDS = {"a": ["gradient"], "b": [], "c": ["gradient", "modules"], "d": []}


def cards(**changes):
    """Return four methods: with gradients, a black box, with modules, through a surrogate."""
    methods = [
        {
            "method": name,
            "title": name.upper(),
            "kind": "gradient",
            "role": "method",
            "is_blind": False,
            "needs": needs,
            "surrogate": "gpex" if name == "d" else None,
            "adds_up": name == "c",
        }
        for name, needs in NEEDS.items()
    ]
    controls = [
        {
            "method": name,
            "title": name,
            "kind": "control",
            "role": role,
            "is_blind": True,
            "needs": [],
            "surrogate": None,
            "adds_up": True,
        }
        for name, role in (("random_map", "random"), ("edges", "edge detector"))
    ]
    return [*methods, *controls]


ANSWERED = (("a", "unbeaten"), ("b", "unbeaten"), ("c", "beaten"), ("d", "beaten"))
PAIRS = [
    ("a", "b", "not shown to differ"),
    ("a", "c", "better"),
    ("a", "d", "better"),
    ("b", "c", "equal"),
    ("b", "d", "better"),
    ("c", "d", "depends"),
    ("a", "edges", "better"),
]


def answered(kind="images", rows=None, pairs=PAIRS):
    """Return the answers by case."""
    known = tables(*ANSWERED, pairs=pairs, controls=("random_map", "edges"))
    rows = rows or {"a": 96, "b": 500, "c": 3, "d": 1}
    inputs = cases.Inputs(
        headline=headline.read(known, "srg"),
        methods=cards(),
        costs={(AT, name): cases.Cost(rows=float(n), seconds=n / 1000) for name, n in rows.items()},
        kinds={"d": kind},
    )
    return {row["case"]: row for row in cases.answers(inputs)}


def test_each_case_names_a_method_that_fits_it():
    names = {case: row["method"] for case, row in answered().items()}
    assert names == {"any": "a", "black_box": "b", "cheap": "c", "adds_up": "c"}


def test_a_surrogate_is_no_black_box_and_rows_decide_what_is_cheap():
    found = answered(rows={"a": 96, "b": 500, "c": 96, "d": 10})
    assert found["black_box"]["state"] == "alone"
    assert found["cheap"]["method"] == "d"
    assert "cheap" not in answered(rows={"a": 96, "b": 500, "c": 96, "d": 11})


def test_how_sure_counts_the_verdicts_within_the_case():
    any_ = answered()["any"]
    counts = [any_[name] for name in ("n_methods", "n_better", "n_equal", "n_unclear", "n_worse")]
    assert any_["state"] == "unbeaten" and counts == [3, 2, 0, 1, 0]
    assert (any_["edges"], any_["input"]) == ("better", "")
    assert (any_["rows"], any_["seconds"]) == (96, 0.096)

    sure = answered(pairs=[("a", "b", "equal"), *PAIRS[1:]])["any"]
    assert (sure["state"], sure["n_equal"]) == ("leads", 1)


def test_another_fill_names_who_is_first_there():
    any_ = answered()["any"]
    assert (any_["n_variants"], any_["n_first"]) == (2, 1)
    assert any_["elsewhere"] == [{"method": "b", "variant": "zero, logit", "n": 1}]


def test_the_method_that_the_fewest_beat_is_named():
    beaten = [("b", "a", "better"), *PAIRS[1:]]
    assert answered(pairs=beaten)["any"]["method"] == "b"


def test_kinds_come_from_what_datasets_offer():
    datasets = [{"dataset": "d", "offers": ["image", "truth"]}, {"dataset": "e", "offers": []}]
    assert cases.kinds_of(datasets) == {"d": "images"}
    assert {row["kind"] for row in answered("tables").values()} == {"tables"}


def test_a_network_without_a_score_of_the_method_is_named():
    rows = list(answered().values())[:1]
    rows.append({**rows[0], "dataset": "e", "state": "unscored", "edges": "", "rows": math.nan})
    (shown,) = cases.shown(rows, cards())
    assert (shown["title"], shown["rows"], shown["seconds"]) == ("A", (96, 96), (0.096, 0.096))
    assert shown["edges"] == {"better": ["d (m)"]}
    assert shown["variants"] == {"n_first": 1, "n": 2, "others": [{"method": "b", "n": 1}]}


def outcomes(**means):
    """Return the share of relevance on planted truth of some methods."""
    import pandas as pd

    rows = [("d", "m", name, "mass", mean, "ok") for name, mean in means.items()]
    return pd.DataFrame(rows, columns=["dataset", "model", "method", "metric", "mean", "state"])


@pytest.mark.parametrize("has_truth", [True, False])
def test_what_misleads_is_chosen_by_truth_or_by_a_blind_control(has_truth):
    known = headline.read(
        tables(
            *ANSWERED,
            pairs=[*PAIRS, ("c", "random_map", "worse"), ("d", "random_map", "worse")],
            controls=("random_map", "edges"),
        ),
        "srg",
    )
    metrics = [{"metric": "mass", "is_share_of_truth": has_truth}]
    scored = outcomes(a=0.5, b=0.1, c=0.3, random_map=0.0)
    found = telling.telling(list(answered().values()), known, scored, cards(), metrics)
    whys = found[AT]
    assert whys["a"] == "best"
    # b is named for the case of a black box: a method has one reason, the first.
    misleading = [name for name, why in whys.items() if why == telling.MISLEADING]
    assert misleading == ([] if has_truth else ["d"])
    assert whys["b"] == "black box"

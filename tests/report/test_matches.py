"""Sentences and tables that compare surrogates: a winner, a tie, exactness, undefined heads, missing surrogates."""

import math
from functools import cache
from typing import Any

import pandas as pd

from gpex_bench.report import match_tables, matches
from gpex_bench.statistics.outcomes import agreement_summary
from gpex_bench.tables.columns import AGREEMENT, SURROGATE_COSTS, SURROGATES
from gpex_bench.tables.words import below_one
from tests.vocabulary import frames as synthetic

NO_COSTS = pd.DataFrame(columns=list(SURROGATE_COSTS))
EXACT = [
    {"surrogate": "linear", "exact": True},
    {"surrogate": "gp", "exact": False},
    {"surrogate": "near"},
]


def all_said(*args: Any) -> str:
    """Everything that is said of the only network."""
    (one,) = matches.sentences(*args)
    return " ".join(one.sentences)


def summary(values: dict[str, dict[str, list[float]]], statistic: str = "mean_r2") -> pd.DataFrame:
    """Return agreement of surrogate -> split -> a value for each seed."""
    rows = [
        ("d", "m", seed, name, split, "all", statistic, value)
        for name, splits in values.items()
        for split, seeds in splits.items()
        for seed, value in enumerate(seeds)
    ]
    return agreement_summary(pd.DataFrame(rows, columns=list(AGREEMENT)))


def said(values: dict[str, dict[str, list[float]]], **more: list[dict]) -> str:
    return all_said(summary(values), more.get("cards", []), NO_COSTS)


def test_a_winner_by_more_than_the_seeds_spread() -> None:
    text = said({"gp": {"test": [0.99, 0.98, 0.985]}, "near": {"test": [0.9, 0.95, 0.97]}})
    assert text == (
        "On d (m), by mean R² over heads, on test items gp (0.985) leads, ahead of near (0.940) by more than the "
        "spread over 3 seeds."
    )


def test_a_tie_is_called_a_tie() -> None:
    text = said({"gp": {"test": [0.99, 0.96]}, "near": {"test": [0.95, 0.97]}})
    assert (
        "on test items gp (0.975) and near (0.960) cannot be told apart by the spread over 2 seeds."
        in text
    )


def test_one_seed_has_no_spread() -> None:
    text = said({"gp": {"test": [0.99]}, "near": {"test": [0.5]}})
    assert "on test items gp (0.990) is ahead of near (0.500), on one training seed." in text


def test_leads_may_differ_by_split_and_a_surrogate_may_be_missing() -> None:
    text = said({"gp": {"test": [0.99, 0.98], "ood": [0.4, 0.5]}, "near": {"test": [0.9, 0.9]}})
    assert "gp (0.985) leads, ahead of near" in text
    assert "on out-of-distribution items only gp has one (0.450)." in text
    assert "mixed" not in text


def test_one_surrogate_alone_leads_nobody() -> None:
    text = said({"gp": {"test": [0.99, 0.98], "mixed": [0.9, 0.8]}})
    assert (
        text
        == "On d (m) gp alone was fitted; its mean R² over heads is 0.985 on test and 0.850 on mixed items."
    )


def test_nothing_defined_is_said() -> None:
    nan = math.nan
    assert said({"gp": {"test": [nan]}, "near": {"test": [nan]}}) == (
        "On d (m) no R² is defined: the network's outputs are constant."
    )


def with_weakest(least: float) -> pd.DataFrame:
    means = {
        "linear": {"test": [1.0, 1.0]},
        "gp": {"test": [0.99, 0.98]},
        "near": {"test": [0.9, 0.9]},
    }
    return pd.concat([summary(means), summary({"linear": {"test": [1.0, least]}}, "weakest_r2")])


def test_exact_by_construction_is_said_only_if_the_numbers_show_it() -> None:
    text = all_said(with_weakest(0.99996), EXACT, NO_COSTS)
    assert (
        "linear is exact by construction, and the numbers show it: R² is at least 0.99996 for every"
        in text
    )
    assert "Its lead says nothing" in text
    assert (
        "Of the others, by mean R² over heads, on test items gp (0.985) leads, ahead of near (0.900)"
        in text
    )
    text = all_said(with_weakest(0.97), EXACT, NO_COSTS)
    assert (
        "linear should be exact by construction, but R² of one head goes down to 0.970 on test items."
        in text
    )
    text = all_said(with_weakest(0.99996), [], NO_COSTS)
    assert "exact" not in text and "Of the others" not in text


def test_intervals_that_fit_are_told_from_those_that_do_not() -> None:
    base = {
        "gp": {"test": [0.9, 0.92], "mixed": [0.86, 0.88]},
        "near": {"test": [0.99, 0.99], "mixed": [0.9, 0.9]},
    }
    text = all_said(summary(base, "mean_coverage_90"), [], NO_COSTS)
    named = "90 % intervals hold 85 to 97 % of the outputs on test and on mixed items"
    assert f"{named} for gp; not for near (0.90 to 0.99)." in text
    sure = {"gp": {"test": [1.0, 1.0], "mixed": [1.0, 0.999]}}
    text = all_said(summary(sure, "mean_coverage_90"), [], NO_COSTS)
    assert "for none; not for gp (1.00)." in text
    text = all_said(summary({"near": base["near"]}, "mean_coverage_90"), [], NO_COSTS)
    assert "for none; not for near (0.90 to 0.99)." in text
    text = all_said(summary({"gp": base["gp"]}, "mean_coverage_90"), [], NO_COSTS)
    assert text.endswith("items for gp.")


def test_intervals_out_of_distribution_are_not_passed_over() -> None:
    gp = {"test": [0.9, 0.92], "ood": [0.47, 0.49]}
    frame = summary(
        {"gp": gp, "near": gp | {"ood": [0.9, 0.9]}, "wide": {"ood": [1.0, 0.99]}},
        "mean_coverage_90",
    )
    text = all_said(frame, [], NO_COSTS)
    said = "they hold fewer than 85 % for gp (0.48), 85 to 97 % for near (0.90), more than 97 % for wide (0.99)."
    assert f"On out-of-distribution items, for which no interval is calibrated, {said}" in text


def test_whose_variance_tells_errors_and_whose_fit_is_fast() -> None:
    frame = summary({"gp": {"mixed": [0.8, 0.82]}, "near": {"mixed": [0.6, 0.7]}}, "mean_auroc")
    costs = pd.DataFrame(
        [
            ("d", "m", 0, "gp", 60.0, 1),
            ("d", "m", 1, "gp", 80.0, 1),
            ("d", "m", 0, "near", 0.25, 1),
        ],
        columns=list(SURROGATE_COSTS),
    )
    text = all_said(frame, [], costs)
    assert (
        "The variance of gp tells large errors best (AUROC 0.81 on mixed items; near 0.65, by more than"
        in text
    )
    alone = all_said(frame.assign(n_seeds=1), [], costs)
    assert "near 0.65, on one training seed)" in alone
    assert "Fitting took 0.250 s (near) to 70.0 s (gp)." in text


@cache
def full() -> pd.DataFrame:
    return agreement_summary(
        synthetic.agreement(synthetic.predictions(60, 3, tuple(synthetic.SURROGATES)))
    )


def test_tables_hold_the_numbers_best_first() -> None:
    tables = match_tables.tables(full(), synthetic.surrogate_costs())
    assert [(table["dataset"], table["kind"]) for table in tables][:2] == [
        ("breast_cancer", "match"),
        ("breast_cancer", "doubt"),
    ]
    table = next(one for one in tables if one["dataset"] == "mnist5k" and one["kind"] == "match")
    assert [row["surrogate"] for row in table["rows"]] == ["last_layer", "gpex", "knn"]
    columns = [(head["title"], split) for head in table["heads"] for split in head["splits"]]
    assert all(len(row["cells"]) == len(columns) for row in table["rows"])
    cell = table["rows"][1]["cells"][columns.index(("R²", "mixed"))]
    row = (
        full()
        .query(
            "dataset == 'mnist5k' & surrogate == 'gpex' & split == 'mixed' & statistic == 'mean_r2' & head == 'all'"
        )
        .iloc[0]
    )
    assert cell["mean"] == below_one(row["mean"])
    assert cell["ends"] == f"{below_one(row['low'])} to {below_one(row['high'])}"
    for place, (title, _) in enumerate(columns):
        best = [row["surrogate"] for row in table["rows"] if row["cells"][place]["is_best"]]
        assert best in ([], ["last_layer"]) or title == "same arg-max", title
    assert table["rows"][1]["weakest"]["head"] == "9" and table["rows"][1]["seconds"] == "60.0"
    doubt = next(one for one in tables if one["dataset"] == "mnist5k" and one["kind"] == "doubt")
    assert [head["title"] for head in doubt["heads"]][
        -1
    ] == "rank of kernel"  # the centred one is not known


def test_a_missing_surrogate_leaves_an_empty_cell() -> None:
    here = full().query("dataset == 'shapes' and not (surrogate == 'knn' and split == 'ood')")
    match, _ = match_tables.tables(here, NO_COSTS)
    columns = [(head["title"], split) for head in match["heads"] for split in head["splits"]]
    row = next(row for row in match["rows"] if row["surrogate"] == "knn")
    assert row["cells"][columns.index(("R²", "ood"))]["mean"] == "" and row["seconds"] == ""


def test_failed_fits_are_listed_with_the_reason() -> None:
    rows = [("d", "m", 1, "svgp", "timeout", "took longer than 9 s"), ("d", "m", 1, "gp", "ok", "")]
    (found,) = match_tables.failed(pd.DataFrame(rows, columns=list(SURROGATES)))
    assert (
        found["surrogate"] == "svgp" and found["text"] == "failed (timeout): took longer than 9 s"
    )

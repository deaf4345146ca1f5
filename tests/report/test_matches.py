"""Records and tables that compare surrogates: a winner, a tie, exactness, undefined heads."""

import math
from functools import cache
from typing import Any

import pandas as pd
import pytest

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

# surrogate → split → a value for each seed
Values = dict[str, dict[str, list[float]]]


def summary(values: Values, statistic: str = "mean_r2") -> pd.DataFrame:
    """Return the agreement of one network."""
    rows = [
        ("d", "m", seed, name, split, "all", statistic, value)
        for name, splits in values.items()
        for split, seeds in splits.items()
        for seed, value in enumerate(seeds)
    ]
    return agreement_summary(pd.DataFrame(rows, columns=list(AGREEMENT)))


def match(frame: pd.DataFrame, *, cards: Any = (), costs: Any = NO_COSTS) -> matches.NetworkMatch:
    """Return what is known of the surrogates of the only network."""
    (found,) = matches.matches(frame, cards, costs)
    # Whatever is known can be phrased: one sentence a line, and no number that is not one.
    sentences = matches.sentences(found)
    assert sentences and all(one.endswith(".") for one in sentences)
    assert " nan" not in " ".join(sentences)
    return found


def text(found: matches.NetworkMatch) -> str:
    return " ".join(matches.sentences(found))


def test_a_winner_by_more_than_the_seeds_spread() -> None:
    values = {"gp": {"test": [0.99, 0.98, 0.985]}, "near": {"test": [0.9, 0.95, 0.97]}}
    found = match(summary(values))
    (lead,) = found.leads
    assert (lead.state, lead.leader, lead.second, lead.n_seeds) == ("lead", "gp", "near", 3)
    assert lead.best == pytest.approx(0.985) and lead.next_best == pytest.approx(0.94)
    assert "gp (0.985)" in text(found) and "near (0.940)" in text(found)


def test_ranges_that_touch_are_a_tie() -> None:
    values = {"gp": {"test": [0.99, 0.96]}, "near": {"test": [0.95, 0.97]}}
    (lead,) = match(summary(values)).leads
    assert (lead.state, lead.leader, lead.n_seeds) == ("tie", "gp", 2)


def test_one_seed_has_no_spread() -> None:
    (lead,) = match(summary({"gp": {"test": [0.99]}, "near": {"test": [0.5]}})).leads
    assert (lead.state, lead.leader, lead.second) == ("one_seed", "gp", "near")


def test_leads_may_differ_by_split_and_a_surrogate_may_be_missing() -> None:
    values = {"gp": {"test": [0.99, 0.98], "ood": [0.4, 0.5]}, "near": {"test": [0.9, 0.9]}}
    found = match(summary(values))
    assert [(one.split, one.state) for one in found.leads] == [("test", "lead"), ("ood", "alone")]
    assert "out-of-distribution" in text(found) and "mixed" not in text(found)


def test_one_surrogate_alone_leads_nobody() -> None:
    found = match(summary({"gp": {"test": [0.99, 0.98], "mixed": [0.9, 0.8]}}))
    assert found.surrogates == ("gp",)
    assert [one.state for one in found.leads] == ["alone", "alone"]
    assert "0.985" in text(found) and "0.850" in text(found) and "leads" not in text(found)


def test_no_r2_is_no_lead() -> None:
    found = match(summary({"gp": {"test": [math.nan]}, "near": {"test": [math.nan]}}))
    assert found.leads == ()


def with_weakest(least: float) -> pd.DataFrame:
    means = {
        "linear": {"test": [1.0, 1.0]},
        "gp": {"test": [0.99, 0.98]},
        "near": {"test": [0.9, 0.9]},
    }
    return pd.concat([summary(means), summary({"linear": {"test": [1.0, least]}}, "weakest_r2")])


def test_exact_by_construction_counts_only_if_the_numbers_show_it() -> None:
    found = match(with_weakest(0.99996), cards=EXACT)
    (exact,) = found.exact
    assert (exact.surrogate, exact.is_shown, exact.split) == ("linear", True, "test")
    assert exact.lowest_r2 == 0.99996 and "0.99996" in text(found)
    (other,) = found.leads_of_others
    assert (other.leader, other.second) == ("gp", "near")

    (exact,) = match(with_weakest(0.97), cards=EXACT).exact
    assert not exact.is_shown and exact.lowest_r2 == 0.97

    unknown = match(with_weakest(0.97).query("statistic == 'mean_r2'"), cards=EXACT)
    assert not unknown.exact[0].is_shown and math.isnan(unknown.exact[0].lowest_r2)

    without = match(with_weakest(0.99996))
    assert without.exact == () and without.leads_of_others == ()


def test_intervals_fit_or_are_too_wide_or_too_narrow() -> None:
    values = {
        "gp": {"test": [0.9, 0.92], "mixed": [0.86, 0.88]},
        "near": {"test": [0.99, 0.99], "mixed": [0.9, 0.9]},
        "sure": {"test": [1.0, 1.0], "mixed": [1.0, 0.999]},
        "low": {"test": [0.5, 0.5], "mixed": [0.9, 0.9]},
    }
    found = match(summary(values, "mean_coverage_90"))
    states = {one.surrogate: one.state for one in found.coverage}
    assert states == {"gp": "fits", "near": "wide", "sure": "wide", "low": "narrow"}
    assert "near (0.90 to 0.99)" in text(found) and "sure (1.00)" in text(found)


def test_intervals_out_of_distribution_are_listed_apart() -> None:
    gp = {"test": [0.9, 0.92], "ood": [0.47, 0.49]}
    values = {"gp": gp, "near": gp | {"ood": [0.9, 0.9]}, "wide": {"ood": [1.0, 0.99]}}
    found = match(summary(values, "mean_coverage_90"))
    states = {one.surrogate: one.state for one in found.coverage_far}
    assert states == {"gp": "narrow", "near": "fits", "wide": "wide"}
    assert {one.surrogate: one.state for one in found.coverage} == {"gp": "fits", "near": "fits"}
    for words in ("gp (0.48)", "near (0.90)", "wide (0.99)"):
        assert words in text(found)


def test_whose_variance_sorts_errors_and_whose_fit_is_fast() -> None:
    frame = summary({"gp": {"mixed": [0.8, 0.82]}, "near": {"mixed": [0.6, 0.7]}}, "mean_auroc")
    rows = [
        ("d", "m", 0, "gp", 60.0, 1),
        ("d", "m", 1, "gp", 80.0, 1),
        ("d", "m", 0, "near", 0.25, 1),
    ]
    costs = pd.DataFrame(rows, columns=list(SURROGATE_COSTS))

    found = match(frame, costs=costs)
    assert found.doubt is not None
    assert (found.doubt.leader, found.doubt.second, found.doubt.state) == ("gp", "near", "lead")
    assert list(found.seconds.items()) == [("near", 0.25), ("gp", 70.0)]

    one_seed = match(frame.assign(n_seeds=1), costs=costs.query("surrogate == 'gp'"))
    assert one_seed.doubt is not None and one_seed.doubt.state == "one_seed"
    assert one_seed.seconds == {}


@cache
def full() -> pd.DataFrame:
    predictions = synthetic.predictions(60, 3, tuple(synthetic.SURROGATES))
    return agreement_summary(synthetic.agreement(predictions))


def columns(table: dict[str, Any]) -> list[tuple[str, str]]:
    """Return title and split of each column."""
    return [(head["title"], split) for head in table["heads"] for split in head["splits"]]


def test_tables_hold_the_numbers_best_first() -> None:
    tables = match_tables.tables(full(), synthetic.surrogate_costs())
    kinds = [(table["dataset"], table["kind"]) for table in tables]
    assert kinds[:2] == [("breast_cancer", "match"), ("breast_cancer", "doubt")]

    table = next(one for one in tables if one["dataset"] == "mnist5k" and one["kind"] == "match")
    assert [row["surrogate"] for row in table["rows"]] == ["last_layer", "gpex", "knn"]
    assert all(len(row["cells"]) == len(columns(table)) for row in table["rows"])

    cell = table["rows"][1]["cells"][columns(table).index(("R²", "mixed"))]
    here = full().query("dataset == 'mnist5k' and surrogate == 'gpex' and head == 'all'")
    row = here.query("split == 'mixed' and statistic == 'mean_r2'").iloc[0]
    assert cell["mean"] == below_one(row["mean"])
    assert cell["ends"] == f"{below_one(row['low'])} to {below_one(row['high'])}"

    for place, (title, _) in enumerate(columns(table)):
        best = [row["surrogate"] for row in table["rows"] if row["cells"][place]["is_best"]]
        assert best in ([], ["last_layer"]) or title == "same arg-max", title
    assert table["rows"][1]["weakest"]["head"] == "9" and table["rows"][1]["seconds"] == "60.0"

    # the centred rank of the kernel is not known, so that it has no column
    doubt = next(one for one in tables if one["dataset"] == "mnist5k" and one["kind"] == "doubt")
    assert [head["title"] for head in doubt["heads"]][-1] == "rank of kernel"


def test_a_missing_surrogate_leaves_an_empty_cell() -> None:
    here = full().query("dataset == 'shapes' and not (surrogate == 'knn' and split == 'ood')")
    table, _ = match_tables.tables(here, NO_COSTS)
    row = next(row for row in table["rows"] if row["surrogate"] == "knn")
    assert row["cells"][columns(table).index(("R²", "ood"))]["mean"] == "" and row["seconds"] == ""


def test_failed_fits_are_listed_with_the_reason() -> None:
    rows = [("d", "m", 1, "svgp", "timeout", "took longer than 9 s"), ("d", "m", 1, "gp", "ok", "")]
    (found,) = match_tables.failed(pd.DataFrame(rows, columns=list(SURROGATES)))
    assert found["surrogate"] == "svgp"
    assert found["text"].endswith("took longer than 9 s") and "timeout" in found["text"]

"""Comparisons with random removal, and the page: against hand-made cells and scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gpex_bench.studies.retraining.answer import answer, summarise
from gpex_bench.studies.retraining.comparisons import compare, curves, verdict
from gpex_bench.studies.retraining.plan import Retraining

PLAN = Retraining(shares=(0.25, 0.5))


def cells():
    """Two methods, three seeds: `good` loses 0.2, 0.3, 0.4 more than random, whatever the share."""
    rows = []
    for seed, loss in ((1, 0.2), (2, 0.3), (3, 0.4)):
        for method, lost, alike in (("good", loss, 0.1 * seed), ("random_map", 0.0, 1.0)):
            for measure, values in (
                ("roar", (0.95, 0.9 - lost, 0.7 - lost)),
                ("kar", (0.95, 0.6 + lost, 0.5 + lost)),
            ):
                rows += [
                    (method, seed, measure, share, v)
                    for share, v in zip((0, 0.25, 0.5), values, strict=True)
                ]
            rows.append((method, seed, "masks", 0.5, 0.5 + lost))
            for measure in ("permuted", "permuted_absolute", "sibling", "sibling_absolute"):
                rows.append(
                    (
                        method,
                        seed,
                        measure,
                        0.0,
                        0.9 if measure[0] == "s" and method == "good" else alike,
                    )
                )
    cells = pd.DataFrame(rows, columns=["method", "seed", "measure", "share", "value"])
    return cells.assign(dataset="table", model="mlp", reason="")


def networks(train_accuracy=0.97):
    """The network on permuted labels, which fits a share of them."""
    columns = ["dataset", "model", "seed", "network", "train_accuracy", "test_accuracy", "times"]
    row = ("table", "mlp", 1, "permuted", train_accuracy, 0.5, 4)
    return pd.DataFrame([row], columns=columns)


def failure():
    """A method that failed, twice."""
    row = cells().iloc[[0]].assign(method="poor", measure="failed", value=np.nan)
    return pd.concat([row, row.assign(seed=2)]).assign(reason="no map today")


def page_record(cells, networks):
    table = compare(cells, PLAN.chance)
    return summarise(table, curves(cells), networks, PLAN)


def test_gains_are_paired_differences_with_t_intervals():
    table = compare(cells(), "random_map").set_index(["measure", "method"])
    losses = np.array([0.2, 0.3, 0.4])
    half = stats.t.ppf(0.975, 2) * losses.std(ddof=1) / np.sqrt(3)
    for measure, mean in (("roar", 0.5), ("kar", 0.85), ("masks", 0.8)):
        row = table.loc[measure, "good"]
        assert row["mean"] == pytest.approx(mean)
        assert row[["gain", "gain_low", "gain_high"]].tolist() == pytest.approx(
            [0.3, 0.3 - half, 0.3 + half]
        )
        assert row["p_value"] == pytest.approx(stats.ttest_1samp(losses, 0).pvalue)
        assert np.isnan(table.loc[measure, "random_map"]["gain"])
    assert table.loc["permuted", "good"]["gain"] == pytest.approx(0.7)
    paired = [stats.ttest_1samp([0.8, 0.7, 0.6], 0).pvalue * 2, 1]  # Holm, with random_map's p of 1
    assert [
        table.loc["permuted", name]["p_value"] for name in ("good", "random_map")
    ] == pytest.approx(paired)


@pytest.mark.parametrize(
    ("gain", "p_value", "expected"),
    [
        (0.1, 0.04, "better"),
        (-0.1, 0.04, "worse"),
        (0.1, 0.06, "not significant"),
        (0.1, np.nan, "not tested"),
    ],
)
def test_verdicts_follow_gain_and_p_value(gain, p_value, expected):
    assert verdict({"gain": gain, "p_value": p_value}) == expected


def test_the_page_counts_as_better_what_loses_more_than_random_removal():
    record = page_record(cells(), networks())
    assert record["better"] == ["good"] and record["worse"] == []
    assert [row["method"] for row in record["methods"]] == ["good", "random_map"]

    good, chance = record["methods"]
    assert good["lost"] == pytest.approx(0.3) and good["lost_verdict"] == "better"
    assert chance["is_chance"] and not good["is_chance"]
    assert (good["permuted"], good["sibling"]) == pytest.approx((0.2, 0.9))


def test_nothing_is_tested_with_one_seed():
    one = cells()
    record = page_record(one[one["seed"] == 1], networks())
    assert record["better"] == record["worse"] == []
    assert record["methods"][0]["lost_verdict"] == "not tested"


@pytest.mark.parametrize(("reached", "is_fitted"), [(0.97, True), (0.8, False)])
def test_labels_that_were_not_fitted_are_marked(reached, is_fitted):
    record = page_record(cells(), networks(reached))
    assert record["fitted"] == reached and record["is_fitted"] == is_fitted


def test_a_method_that_failed_is_named_once_and_has_no_number():
    found = answer(pd.concat([cells(), failure()]), networks(), PLAN)
    assert set(found.table["method"]) == {"good", "random_map"}
    assert found.sentences.count("no map today") == 1 and "poor" in found.sentences


def test_the_page_shows_methods_and_figure():
    found = answer(cells(), networks(), PLAN)
    assert found.sentences.startswith(f"# {PLAN.question}\n")
    assert "(table_mlp.svg)" in found.sentences and "| good |" in found.sentences
    assert list(found.drawings) == ["table_mlp"]
    assert sorted(found.tables) == ["curves", "networks"]

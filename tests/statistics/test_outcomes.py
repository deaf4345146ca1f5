"""Statistics: hand-checked values, marks, and independence from order and company.

`inference` has its own tests.
"""

import numpy as np
import pandas as pd
import pytest

from gpex_bench.statistics.outcomes import agreement_summary, cost_summary, outcome_table, summarise
from gpex_bench.tables import columns
from gpex_bench.tables.columns import SCORES, SUMMARY
from gpex_bench.tables.order import control_ids
from tests.vocabulary import frames as synthetic

UP = {record["metric"]: record["higher_is_better"] for record in synthetic.metrics()}
CONTROLS = control_ids(synthetic.methods())


def table(scores: dict[str, np.ndarray], metric: str = "srg") -> pd.DataFrame:
    """Return the long frame of [sample, seed] arrays by method."""
    rows = [
        ("d", "m", seed, method, metric, sample, value)
        for method, values in scores.items()
        for (sample, seed), value in np.ndenumerate(values)
    ]
    return pd.DataFrame(rows, columns=list(SCORES))


@pytest.fixture(scope="module")
def small() -> pd.DataFrame:
    scores = synthetic.scores()
    return scores[(scores["dataset"] == "mnist5k") & scores["metric"].isin(["srg", "infidelity"])]


@pytest.fixture(scope="module")
def summary(small: pd.DataFrame) -> pd.DataFrame:
    return summarise(small, UP, CONTROLS)


def test_means_by_hand() -> None:
    row = summarise(table({"a": np.array([[1.0, 3.0], [5.0, 9.0]])}), UP).iloc[0]
    assert row["mean"] == 4.5  # (2 + 7) / 2
    assert row["seed_sd"] == pytest.approx(np.std([3.0, 6.0], ddof=1))
    assert (row["n_samples"], row["n_seeds"]) == (2, 2)


def test_targets_of_one_sample_do_not_count_double() -> None:
    scores = table({"a": np.array([[0.0], [1.0]])})
    twice = pd.concat([scores, scores[scores["sample"] == 1]])
    assert summarise(twice, UP).iloc[0]["mean"] == 0.5


def test_a_missing_seed_leaves_the_mean_of_the_others() -> None:
    scores = table({"a": np.array([[1.0, 3.0], [5.0, 9.0]])})
    row = summarise(scores[scores["seed"] == 0], UP).iloc[0]
    assert (row["mean"], row["n_seeds"]) == (3.0, 1) and np.isnan(row["seed_sd"])


def test_interval_of_one_sample_is_not_known() -> None:
    row = summarise(table({"a": np.array([[0.4]])}), UP).iloc[0]
    assert row["mean"] == 0.4 and np.isnan(row["low"]) and np.isnan(row["high"])


def test_interval_of_constant_scores_is_a_point() -> None:
    row = summarise(table({"a": np.full((9, 2), 0.25)}), UP).iloc[0]
    assert row["low"] == row["high"] == row["mean"] == 0.25


def test_ties_and_leaders() -> None:
    rng = np.random.default_rng(4)
    base = rng.normal(0, 0.1, (48, 1))
    noise = rng.normal(0, 0.05, (48, 1))
    scores = table(
        {"best": base + 0.5, "equal": base + 0.5 + noise - noise.mean() - 1e-4, "worse": base + 0.3}
    )
    rows = summarise(scores, UP).set_index("method")
    assert rows["is_best"].tolist() == [True, False, False]
    assert rows["is_best_group"].tolist() == [True, True, False]
    assert rows.loc["worse", "difference"] == pytest.approx(0.2)
    down = summarise(scores, {"srg": False}).set_index("method")
    assert down["is_best"].to_dict() == {"best": False, "equal": False, "worse": True}


def test_a_control_is_never_the_best_but_may_beat_it() -> None:
    base = np.random.default_rng(5).normal(0, 0.1, (48, 1))
    rows = summarise(table({"mine": base, "oracle": base + 1}), UP, {"oracle"}).set_index("method")
    assert rows["is_best"].to_dict() == {"mine": True, "oracle": False}
    assert rows.loc["oracle", "is_best_group"] and rows.loc[
        "oracle", "difference"
    ] == pytest.approx(-1)


def test_nothing_is_marked_where_a_metric_is_not_informative() -> None:
    base = np.random.default_rng(6).normal(0, 0.1, (48, 1))
    scores = table({"a": base, "b": base + 1})
    rows = summarise(scores, UP, (), {("d", "m", "srg")})
    assert not rows[["is_best", "is_best_group"]].any().any() and rows["p_value"].isna().all()
    marked = summarise(scores, UP)
    pd.testing.assert_frame_equal(rows[list(SUMMARY)], marked[list(SUMMARY)])


def test_a_copy_of_the_best_is_tied_with_it_and_changes_nothing_else() -> None:
    rng = np.random.default_rng(7)
    made = {
        name: level + rng.normal(0, 0.1, (30, 2))
        for name, level in (("a", 0.5), ("b", 0.46), ("c", 0.1))
    }
    before = summarise(table(made), UP).set_index("method")
    after = summarise(table(made | {"copy": made["a"].copy()}), UP).set_index("method")
    pd.testing.assert_frame_equal(after.drop(index="copy"), before)
    assert after.loc["copy", "is_best_group"] and after.loc[
        "copy", ["difference", "p_value"]
    ].tolist() == [0, 1]


def test_order_of_rows_does_not_matter(small: pd.DataFrame, summary: pd.DataFrame) -> None:
    shuffled = summarise(small.sample(frac=1, random_state=0), UP, CONTROLS)
    pd.testing.assert_frame_equal(shuffled, summary, check_exact=True)


def test_another_method_does_not_change_the_numbers(
    small: pd.DataFrame, summary: pd.DataFrame
) -> None:
    fewer = summarise(small[small["method"] != "lime"], UP, CONTROLS)
    numbers = ["method", "metric", "mean", "low", "high", "seed_sd"]
    expected = summary.loc[summary["method"] != "lime", numbers].reset_index(drop=True)
    pd.testing.assert_frame_equal(fewer[numbers], expected, check_exact=True)


def test_every_pair_has_an_outcome(summary: pd.DataFrame) -> None:
    cells, skipped = (
        frame[frame["dataset"] == "mnist5k"] for frame in (synthetic.cells(), synthetic.skipped())
    )
    found = outcome_table(summary, cells, skipped)
    assert len(found) == len(synthetic.QUALITY) * len(synthetic.METRICS)
    bare = found[found["state"] != "ok"]
    assert bare[["mean", "low", "high"]].isna().all().all() and not bare["is_best_group"].any()
    lime = found[(found["method"] == "lime") & (found["metric"] == "srg")].iloc[0]
    assert lime["state"] == "ok" and "seed 1 failed (memory)" in lime["reason"]
    assert (lime["n_seeds"], lime["n_seeds_planned"]) == (2, 3)


def test_a_network_without_any_score_has_an_outcome_of_every_metric() -> None:
    """Nothing was computed from it, and no pair of method and metric is n/a there."""
    cells = pd.DataFrame(
        [("d", "broken", seed, "a", "failed", "it diverged", 0, 0, 0) for seed in (1, 2)],
        columns=list(columns.CELLS),
    )
    empty = pd.DataFrame(columns=[*SUMMARY, *columns.MARKS])
    skipped = pd.DataFrame(columns=list(columns.SKIPPED))
    found = outcome_table(empty, cells, skipped, ["srg", "infidelity"])
    assert found["metric"].tolist() == ["infidelity", "srg"]
    assert set(found["state"]) == {"failed"}
    assert set(found["reason"]) == {"it diverged"}


def test_a_failed_seed_says_more_than_one_that_does_not_apply() -> None:
    cells = pd.DataFrame(
        [
            ("d", "m", 1, "a", "not_applicable", "no rule", 0, 0, 0),
            ("d", "m", 2, "a", "unsound", "off by 40 %", 0, 0, 0),
        ],
        columns=list(columns.CELLS),
    )
    empty = pd.DataFrame(columns=[*SUMMARY, *columns.MARKS])
    skipped = pd.DataFrame(columns=list(columns.SKIPPED))
    (row,) = outcome_table(empty, cells, skipped, ["srg"]).to_dict("records")
    assert (row["state"], row["reason"]) == ("unsound", "off by 40 %")


def test_a_number_of_a_failed_cell_is_an_error(summary: pd.DataFrame) -> None:
    cells = synthetic.cells()
    cells.loc[cells["method"] == "gpex", "status"] = "failed"
    with pytest.raises(
        ValueError, match=r"scores of 3 seeds of mnist5k/cnn/gpex, but 0 of its cells are ok"
    ):
        outcome_table(summary, cells, synthetic.skipped())


def test_messages_name_what_is_wrong(small: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"scores lacks the columns \['seed'\]"):
        summarise(small.drop(columns="seed"), UP)
    bad = small.copy()
    bad.iloc[0, bad.columns.get_loc("score")] = np.nan
    with pytest.raises(
        ValueError, match=r"1 numbers that are not finite, first at dataset=mnist5k, model=cnn"
    ):
        summarise(bad, UP)
    with pytest.raises(ValueError, match=r"scales lacks the metrics \['infidelity'\]"):
        summarise(small, {"srg": True})


def test_weakest_head() -> None:
    found = agreement_summary(synthetic.agreement(synthetic.predictions(60)))
    weak = found[found["is_weakest"] & (found["split"] == "test")]
    assert weak[["dataset", "head"]].to_numpy().tolist() == [
        ["breast_cancer", "benign"],
        ["mnist5k", "9"],
        ["shapes", "star"],
    ]


def test_heads_without_a_pearson_r_are_never_the_weakest() -> None:
    table = synthetic.agreement(synthetic.predictions(60))
    digits = (table["dataset"] == "mnist5k") & (table["statistic"] == "pearson")
    table.loc[digits & (table["head"] == "9"), "value"] = np.nan
    table.loc[digits & (table["head"] == "8") & (table["seed"] == 0), "value"] = np.nan
    table.loc[(table["dataset"] == "shapes") & (table["statistic"] == "pearson"), "value"] = np.nan
    found = agreement_summary(table).query("split == 'test' and statistic == 'pearson'")
    weak = found[found["is_weakest"]].set_index("dataset")["head"]
    assert weak.to_dict() == {"breast_cancer": "benign", "mnist5k": "8"}
    seeds = found[found["dataset"] == "mnist5k"].set_index("head")["n_seeds"]
    assert (seeds["7"], seeds["8"], seeds["9"]) == (3, 2, 0)


def test_pareto_front(summary: pd.DataFrame) -> None:
    found = outcome_table(summary, synthetic.cells(), synthetic.skipped())
    cost = cost_summary(synthetic.cells(), found, "srg", True, CONTROLS).set_index("method")
    assert (
        cost.loc["integrated_gradients", "rows_per_sample"] == 150
    )  # 50 forward + 2 * 50 backward
    assert set(cost.index[cost["is_pareto"]]) == {
        "gpex",
        "lrp_epsilon_plus",
        "integrated_gradients",
    }
    for name in cost.index[~cost["is_pareto"] & ~cost["is_control"]]:
        row = cost.loc[name]
        assert (
            (cost["rows_per_sample"] <= row["rows_per_sample"]) & (cost["mean"] >= row["mean"])
        ).sum() > 1


@pytest.mark.parametrize("name", ["a_copy", "z_copy"])
def test_a_copy_is_on_the_pareto_front_with_its_original(summary: pd.DataFrame, name: str) -> None:
    found = outcome_table(summary, synthetic.cells(), synthetic.skipped())
    tables = []
    for table in (synthetic.cells(), found):
        copied = table[table["method"] == "integrated_gradients"].assign(method=name)
        tables.append(pd.concat([table, copied], ignore_index=True))
    plain = cost_summary(synthetic.cells(), found, "srg", True, CONTROLS)
    cost = cost_summary(*tables, "srg", True, CONTROLS)
    front, before = (set(part.loc[part["is_pareto"], "method"]) for part in (cost, plain))
    assert front == before | {name}


def test_empty_frames_stay_empty() -> None:
    empty = {
        name: pd.DataFrame(columns=list(getattr(columns, name))) for name in ("SCORES", "AGREEMENT")
    }
    assert summarise(empty["SCORES"], UP).empty
    assert agreement_summary(empty["AGREEMENT"]).empty

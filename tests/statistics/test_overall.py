"""Over networks: the model by hand and by a library, scopes, and what must change nothing."""

import time
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from gpex_bench.statistics import overall, pairs
from gpex_bench.statistics.means import means
from gpex_bench.statistics.overall import OnNetwork, across
from gpex_bench.statistics.units import Scale, Units, units
from gpex_bench.tables.words import BEATEN, BETTER, EQUAL, LEADS, OPEN, UNBEATEN
from tests.vocabulary import scores

SRG = {"srg": Scale(higher_is_better=True, margin=0.04)}


def network(
    levels: dict[str, float], name: str, kind: str = "", n_samples: int = 12, seed: int = 0
) -> OnNetwork:
    """Return a network ("dataset/model") whose methods have these levels."""
    dataset, model = name.split("/")
    made = scores.made(levels, n_samples, seed=seed)
    long = scores.table(made, dataset=dataset, model=model)
    (block,) = units(long, SRG, {"random"} & set(levels))
    return known(block, kind)


def known(block: Units, kind: str = "") -> OnNetwork:
    """Return a network whose methods are compared."""
    comparison = pairs.compare(block)
    words = pairs.verdicts(block, comparison)
    return OnNetwork(block=block, comparison=comparison, words=words, kind=kind)


def several(
    levels: dict[str, float], n: int, n_datasets: int = 0, spread: float = 0.02, kind: str = ""
) -> list[OnNetwork]:
    """Return networks on as many datasets, or on fewer, whose methods differ from each other."""
    rng = np.random.default_rng(n)
    n_datasets = n_datasets or n
    found = []
    for at in range(n):
        here = {name: level + rng.normal(0, spread) for name, level in levels.items()}
        found.append(network(here, f"{kind}d{at % n_datasets}/m{at}", kind, seed=at))
    return found


def said(tables: dict[str, pd.DataFrame], scope: str = "all") -> dict[tuple[str, str], str]:
    rows = tables["overall_pairs"].query("scope == @scope")
    return rows.set_index(["method", "other"])["verdict"].to_dict()


# --- the mean and its error -----------------------------------------------------------------------


def test_one_network_a_dataset_is_a_mean_over_samples() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, (8, 3))
    found, plain = across(values, np.arange(8)), means(values.T)
    assert np.array(found.means.interval) == pytest.approx(np.array(plain.interval))
    assert found.p_value == pytest.approx(plain.test[2])
    # Student's t where nothing is skewed
    even = np.concatenate([values, -values])
    low, high = across(even, np.arange(16)).means.interval
    for column in range(3):
        by_library = DescrStatsW(even[:, column]).tconfint_mean()
        assert (low[column], high[column]) == pytest.approx(by_library, rel=0.02)


def test_a_mean_is_within_the_margin_where_its_interval_is() -> None:
    values = np.random.default_rng(0).normal(0.1, 0.2, (9, 50))
    found = across(values, np.arange(9))
    low, high = found.means.interval
    inside = (low > -0.2) & (high < 0.2)
    within = np.maximum(*found.beyond(np.full(50, 0.2))) < 0.05
    assert (within == inside).all() and 0 < inside.sum() < 50
    assert ((found.p_value < 0.05) == ((low > 0) | (high < 0))).all()


def test_several_networks_a_dataset_are_one_mean_of_it() -> None:
    values = np.array([1.0, 3.0, 2.0, 5.0, 6.0, 7.0])[:, None]
    found = across(values, np.array([0, 0, 1, 2, 2, 2]))
    of_dataset = [2.0, 2.0, 6.0]
    assert found.means.mean[0] == pytest.approx(np.mean(of_dataset))
    assert found.means.error[0] == pytest.approx(stats.sem(of_dataset))
    assert (found.means.degrees[0], found.n_networks[0], found.n_datasets[0]) == (2, 6, 3)


def test_one_or_two_datasets_are_taken_as_given() -> None:
    values = np.array([1.0, 3.0, 2.0, 5.0, 6.0, 7.0])[:, None]
    found = across(values, np.array([0, 0, 0, 1, 1, 1]))
    # ordinary least squares with a mean for each dataset
    rest = values[:, 0] - np.repeat([2.0, 6.0], 3)
    error = np.sqrt((rest**2).sum() / 4 * (1 / 3 + 1 / 3)) / 2
    assert found.means.mean[0] == 4 and found.means.error[0] == pytest.approx(error)
    assert found.means.degrees[0] == 4
    one = across(values, np.zeros(6, dtype=int)).means
    assert np.array(one.interval) == pytest.approx(np.array(means(values.T).interval))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_than_six_networks_have_no_mean(n: int) -> None:
    values = np.full((7, 1), np.nan)
    values[:n] = 1.0 + np.arange(n)[:, None]
    found = across(values, np.arange(7))
    assert np.isnan(found.means.mean[0]) and np.isnan(found.means.interval).all()
    assert found.p_value[0] == found.beyond(np.ones(1))[0][0] == 1
    assert found.n_networks[0] == n


# --- tables ---------------------------------------------------------------------------------------

LEVELS = {"a": 0.6, "b": 0.4, "c": 0.1, "random": 0.0}


def test_below_six_networks_there_are_places_alone() -> None:
    found = overall.tables(several(LEVELS, 5), {"random"})
    rows = found["overall"].set_index("method")
    assert found["overall_pairs"].empty
    assert rows[["mean", "low", "high"]].isna().to_numpy().all() and set(rows["answer"]) == {""}
    assert rows.loc["a", "places"] == "1, 1, 1, 1, 1"
    assert rows.loc["a", "networks"] == "d0/m0, d1/m1, d2/m2, d3/m3, d4/m4"


def test_six_networks_say_who_leads() -> None:
    every = several(LEVELS, 6)
    found = overall.tables(every, {"random"})
    rows = found["overall"].set_index("method")
    assert rows["answer"].to_dict() == {"a": LEADS, "b": BEATEN, "c": BEATEN, "random": ""}
    assert rows.loc["c", "beaten_by"] == "a, b"
    of_network = np.array([[one.block.scores[0].mean() for one in every]])
    expected = np.concatenate([of_network.mean(1), *means(of_network).interval])
    assert tuple(rows.loc["a", ["mean", "low", "high"]]) == pytest.approx(expected)
    pair = found["overall_pairs"].set_index(["method", "other"]).loc[("a", "b")]
    assert pair["n_better"] == 6 and pair["n_worse"] == 0 and pair["n_networks"] == 6
    gaps = np.array([[one.comparison.estimate[0, 1] for one in every]])
    above, below = means(gaps).tails(0.0)
    assert pair["p_value"] == pytest.approx(2 * min(above[0], below[0]))


def test_differences_between_networks_keep_the_answer_open() -> None:
    every = [network({"a": 0.5 + 0.2 * (-1) ** at, "b": 0.5}, f"d{at}/m") for at in range(6)]
    found = overall.tables(every, set())
    assert said(found) == {("a", "b"): OPEN}
    assert set(found["overall"]["answer"]) == {UNBEATEN}
    assert tuple(found["overall_pairs"][["n_better", "n_worse"]].iloc[0]) == (3, 3)


def test_methods_of_images_alone_are_ranked_among_images() -> None:
    images = several(LEVELS | {"cam": 0.8}, 6, kind="images")
    tables = several(LEVELS, 7, kind="tables")
    found = overall.tables([*images, *tables], {"random"})
    by_scope = found["overall"].groupby("scope")["method"].agg(set)
    assert by_scope["all"] == by_scope["tables"] == set(LEVELS)
    assert by_scope["images"] == {*LEVELS, "cam"}
    rows = found["overall"].set_index(["scope", "method"])
    assert rows.loc[("images", "cam"), "answer"] == LEADS
    assert rows.loc[("images", "a"), "beaten_by"] == "cam"
    assert rows.loc[("all", "a"), "answer"] == LEADS
    assert rows.loc[("all", "a"), "n_networks"] == 13
    only = overall.tables(images, {"random"})["overall"]
    assert set(only["scope"]) == {"all"}


def test_no_complete_table_is_needed_and_a_third_method_changes_nothing() -> None:
    every = several(LEVELS, 8)
    gap = [network({"a": 0.6, "c": 0.1}, f"e{at}/m", seed=50 + at) for at in range(2)]
    whole = overall.tables([*every, *gap], {"random"})["overall_pairs"]
    two = [network({"a": 0.6, "c": 0.1}, one.network, seed=50 + at) for at, one in enumerate(gap)]
    rows = whole.set_index(["method", "other"])
    assert rows.loc[("a", "b"), "n_networks"] == 8 and rows.loc[("a", "c"), "n_networks"] == 10

    levels = {name: LEVELS[name] for name in ("a", "c")}
    alone = []
    for one in every:
        keep = one.block.without(set(LEVELS) - set(levels))
        alone.append(known(keep))
    rest = overall.tables([*alone, *two], {"random"})["overall_pairs"]
    (row,) = rest.to_dict("records")
    same = ["mean_difference", "low", "high", "margin", "p_value", "n_better", "n_worse"]
    assert [row[name] for name in same] == rows.loc[("a", "c"), same].tolist()


def test_a_copy_changes_nothing() -> None:
    every = several(LEVELS, 7)
    copied = []
    for one in every:
        made = {name: one.block.scores[at] for at, name in enumerate(one.block.methods)}
        dataset, model = one.network.split("/")
        long = scores.table(made | {"twin": made["a"]}, dataset=dataset, model=model)
        (block,) = units(long, SRG, {"random"})
        copied.append(known(block))
    before, after = overall.tables(every, {"random"}), overall.tables(copied, {"random"})
    keys = ["method", "other"]
    old = before["overall_pairs"].set_index(keys)
    new = after["overall_pairs"].set_index(keys)
    pd.testing.assert_frame_equal(new.loc[old.index], old)
    rows = after["overall"].set_index("method")
    assert rows.loc["a", "answer"] == rows.loc["twin", "answer"] == LEADS
    assert rows.loc["b", "beaten_by"] == "a = twin"
    assert new.loc[("a", "twin"), "verdict"] == EQUAL


def test_twenty_four_networks_and_forty_seven_methods_are_quick() -> None:
    rng = np.random.default_rng(0)
    levels = {f"m{at:02}": rng.uniform(0, 1) for at in range(47)}
    every = several(levels, 24, n_datasets=8)
    start = time.perf_counter()
    found = overall.tables(every, set())
    assert time.perf_counter() - start < 2
    assert len(found["overall_pairs"]) == len(list(combinations(levels, 2)))
    assert (found["overall_pairs"]["verdict"] == BETTER).any()

"""Rankings: published critical differences, Friedman by hand and by SciPy, copies, and the table over networks."""

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

from gpex_bench.statistics import ranking
from gpex_bench.statistics.units import Units, units
from tests.vocabulary import scores

QUALITY = {"ig": 0.60, "gxi": 0.58, "lrp": 0.5, "lime": 0.3, "random": 0.9}
# Demsar 2006 (demsar2006statistical), table 5 (a): critical values of the two-tailed Nemenyi test,
# alpha = 0.05
NEMENYI = {
    2: 1.960,
    3: 2.343,
    4: 2.569,
    5: 2.728,
    6: 2.850,
    7: 2.949,
    8: 3.031,
    9: 3.102,
    10: 3.164,
}


def block(made: dict[str, np.ndarray], model: str = "m") -> Units:
    controls = [name for name in made if name in scores.ROLES]
    (found,) = units(scores.table(made, model=model), {"srg": True}, controls)
    return found


def table(made: dict[str, np.ndarray]) -> pd.DataFrame:
    here = block(made)
    return ranking.table(here, ranking.within(here)).set_index("method")


@pytest.mark.parametrize("n_methods", NEMENYI)
def test_critical_difference_is_the_published_one(n_methods: int) -> None:
    expected = NEMENYI[n_methods] * np.sqrt(n_methods * (n_methods + 1) / (6 * 30))
    assert ranking.critical_difference(n_methods, 30) == pytest.approx(expected, rel=3e-4)


def test_demsars_example() -> None:
    # section 3.2.2: four classifiers on 14 datasets, mean ranks 3.143, 2.000, 2.893, 1.964, CD 1.25
    # at 5 %
    assert ranking.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_friedman_by_hand_and_by_scipy() -> None:
    data = np.array([[9.0, 7, 5], [8, 6, 7], [9, 8, 4], [7, 8, 6]])
    ranks = np.array([[1, 2, 3], [1, 3, 2], [1, 2, 3], [2, 1, 3]]).sum(0)
    statistic = 12 / (4 * 3 * 4) * (ranks**2).sum() - 3 * 4 * 4
    assert ranking.friedman(data) == pytest.approx(stats.chi2.sf(statistic, 2))
    assert ranking.friedman(np.ones((5, 3))) == 1.0
    assert np.isnan(ranking.friedman(np.ones((1, 3))))
    two = np.array(
        [[1.0, 0], [1, 0], [0, 1], [1, 1]]
    )  # Friedman's statistic for two is (wins - losses)^2 / n
    assert ranking.friedman(two) == pytest.approx(stats.chi2.sf(1 / 3, 1))


def test_separated_groups_are_those_of_scikit_posthocs() -> None:
    here = block(scores.made(QUALITY | {"a": 0.45, "b": 0.2, "c": 0.61}, n_samples=25))
    found = ranking.within(here)
    assert found.friedman_p < 1e-6
    expected = scikit_posthocs.posthoc_nemenyi_friedman(-found.ranks).to_numpy() >= 0.05
    assert (found.near == expected).all()
    shared = [[bool(set(a) & set(b)) for b in found.letters] for a in found.letters]
    assert (np.array(shared) == expected).all()


def test_mean_ranks_by_hand_without_controls() -> None:
    made = {
        "a": np.array([[3.0], [3], [1]]),
        "b": np.array([[2.0], [3], [5]]),
        "random": np.array([[9.0], [9], [9]]),
    }
    rows = table(made)
    means = {
        "a": (1 + 1.5 + 2) / 3,
        "b": (2 + 1.5 + 1) / 3,
        "random": 1.0,
    }  # the control is ahead of both, each time
    assert rows["mean_rank"].to_dict() == pytest.approx(means)
    ours = rows[~rows["is_control"]]
    assert ours["tied_with_best"].all() and set(ours["letters"]) == {"a"}


def test_a_control_stands_where_it_would_alone_and_moves_nobody() -> None:
    made = scores.made(QUALITY | {"edges": 0.55})
    rows, without = table(made), table({name: made[name] for name in ("ig", "gxi", "lrp", "lime")})
    assert (
        rows.index[rows["is_control"]].tolist() == ["edges", "random"]
        and not rows.loc["edges", "tied_with_best"]
    )
    pd.testing.assert_frame_equal(rows[~rows["is_control"]], without)
    alone = stats.rankdata(
        [-made[name].mean(1) for name in ("edges", "ig", "gxi", "lrp", "lime")], axis=0
    )[0].mean()
    assert rows.loc["edges", "mean_rank"] == pytest.approx(alone)
    assert rows.loc["edges", "rank_low"] < alone < rows.loc["edges", "rank_high"]


def test_a_copy_changes_no_rank_and_shares_its_own() -> None:
    made = scores.made(QUALITY)
    before, after = table(made), table(made | {"copy": made["gxi"].copy()})
    pd.testing.assert_frame_equal(after.drop(index="copy"), before)
    assert after.loc["copy"].equals(before.loc["gxi"].rename("copy"))


def test_permuting_names_permutes_the_rows() -> None:
    made = scores.made(QUALITY)
    other = {"ig": "z", "gxi": "b", "lrp": "ig", "lime": "gxi", "random": "random"}
    before, after = table(made), table({other[name]: values for name, values in made.items()})
    pd.testing.assert_frame_equal(before.rename(index=other).sort_index(), after.sort_index())


def test_intervals_hold_the_true_mean_rank() -> None:
    close = {
        "ig": 0.60,
        "gxi": 0.58,
        "lrp": 0.5,
        "lime": 0.45,
    }  # a rank that never changes has no interval
    level = pd.Series(close)
    spread = np.sqrt(
        2 * (0.1**2 + 0.05**2)
    )  # of the difference of two methods on a sample (`scores.made`)
    truth = pd.Series(
        0.5 + stats.norm.cdf((level.to_numpy()[:, None] - level.to_numpy()) / spread).sum(0),
        level.index,
    ).sort_index()
    hits = []
    for seed in range(100):
        rows = table(scores.made(close, n_samples=30, n_seeds=1, seed=seed))
        hits.append(((rows["rank_low"] <= truth) & (truth <= rows["rank_high"])).mean())
    assert np.mean(hits) == pytest.approx(0.95, abs=0.03)


def test_over_networks_uses_the_largest_complete_table() -> None:
    everywhere = {"ig": 0.6, "gxi": 0.5, "lrp": 0.3}
    networks = [scores.made(everywhere | {"cam": 0.9}, seed=seed) for seed in range(3)] + [
        scores.made(everywhere)
    ]
    rows = ranking.overall([block(made, f"m{at}") for at, made in enumerate(networks)]).set_index(
        "method"
    )
    assert set(rows.index) == {"ig", "gxi", "lrp"} and set(rows["n_networks"]) == {
        4
    }  # 3 x 4, as 4 x 3: more networks
    assert rows["mean_rank"].to_dict() == {"ig": 1.0, "gxi": 2.0, "lrp": 3.0}
    assert rows["friedman_p"].iloc[0] == pytest.approx(
        stats.chi2.sf(8, 2)
    )  # 4 networks, no reversal
    copied = [made | {"copy": made["ig"]} for made in networks]
    again = ranking.overall([block(made, f"m{at}") for at, made in enumerate(copied)]).set_index(
        "method"
    )
    pd.testing.assert_frame_equal(again.drop(index="copy"), rows)


def test_one_network_has_no_ranking_over_networks() -> None:
    assert ranking.overall([block(scores.made(QUALITY))]).empty

"""Paired verdicts: textbook twins, other libraries, and what copies, controls and names may not change."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from gpex_bench.statistics import pairs
from gpex_bench.statistics.units import RESOLUTION, Units, same, units
from tests.vocabulary import scores

QUALITY = {"ig": 0.60, "gxi": 0.59, "lrp": 0.5, "lime": 0.3, "random": 0.0, "edges": 0.2}


def block(made: dict[str, np.ndarray], up: bool = True) -> Units:
    controls = [name for name in made if name in scores.ROLES]
    (found,) = units(scores.table(made), {"srg": up}, controls)
    return found


def verdicts(made: dict[str, np.ndarray], up: bool = True) -> pd.DataFrame:
    here = block(made, up)
    return pairs.table(here, pairs.compare(here)).set_index(["method", "other"])


def numbers(found: pd.DataFrame) -> dict[frozenset, tuple]:
    """Return the numbers of each pair, whichever of the two stands first."""
    rows = {}
    for (method, other), row in found.iterrows():
        sign = 1 if method < other else -1
        signed = [
            sign * row["median_difference"],
            sign * row["effect_size"],
            row["p_value"],
            row["p_holm"],
        ]
        verdict = {"better": 1, "worse": -1, "tied": 0}[row["verdict"]] * sign
        rows[frozenset((method, other))] = (
            *(round(number, 12) + 0.0 for number in signed),
            verdict,
        )
    return rows


def test_holm_by_hand_and_by_statsmodels() -> None:
    assert pairs.holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert pairs.holm(np.array([0.5, 0.9])).tolist() == [1.0, 1.0]
    assert pairs.holm(np.array([])).tolist() == []
    many = np.random.default_rng(0).beta(0.3, 2, 200)
    assert pairs.holm(many) == pytest.approx(multipletests(many, method="holm")[1])


@pytest.mark.parametrize("kind", ["plain", "many"])
def test_signed_rank_is_scipys(kind: str) -> None:
    rng = np.random.default_rng(1)
    differences = rng.normal(0.2, 1, 80 if kind == "many" else 30)
    expected = stats.wilcoxon(
        differences, zero_method="pratt", method="exact" if kind == "plain" else "asymptotic"
    )
    company = rng.normal(size=(len(differences), 3))
    company[:, 0] = 0
    p_value, effect = pairs.signed_rank(np.column_stack([company, differences]))
    assert p_value[3] == pytest.approx(expected.pvalue, rel=1e-12)
    assert (p_value[0], effect[0]) == (1.0, 0.0)


def test_with_zeros_and_ties_it_counts_all_signs() -> None:
    def counted(column: np.ndarray) -> float:
        ranks = stats.rankdata(np.abs(column))[column != 0]
        sums = np.array([np.dot(signs, ranks) for signs in product([0, 1], repeat=len(ranks))])
        found = np.dot(column[column != 0] > 0, ranks)
        return min(1.0, 2 * min(np.mean(sums <= found), np.mean(sums >= found)))

    differences = np.round(np.random.default_rng(3).normal(0.4, 1, (9, 40)))
    p_value, _ = pairs.signed_rank(differences)
    assert p_value == pytest.approx([counted(column) for column in differences.T], abs=1e-12)
    missing = np.vstack([differences, np.full((1, 40), np.nan)])
    assert pairs.signed_rank(missing)[0] == pytest.approx(p_value, abs=1e-12)
    clear = np.repeat([[1.0], [0.0]], [14, 2], axis=0)  # the normal approximation says 2e-4
    assert pairs.signed_rank(clear)[0][0] == pytest.approx(2 * 0.5**14)


def test_effect_size_by_hand() -> None:
    _, effect = pairs.signed_rank(np.array([[1.0], [2.0], [-3.0], [4.0]]))
    assert effect[0] == pytest.approx((1 + 2 + 4 - 3) / 10)
    _, effect = pairs.signed_rank(
        np.array([[0.0], [2.0], [-3.0], [4.0]])
    )  # Pratt: ranks 2, 3, 4 remain
    assert effect[0] == pytest.approx((2 - 3 + 4) / 9)


def test_equal_methods_rarely_differ_significantly() -> None:
    p_value, _ = pairs.signed_rank(np.random.default_rng(2).normal(size=(48, 3000)))
    assert np.mean(p_value < 0.05) == pytest.approx(0.05, abs=0.012)


def test_positive_is_better_whatever_the_direction() -> None:
    made = scores.made({"a": 0.5, "b": 0.1})
    up, down = (verdicts(made, way).loc[("a", "b")] for way in (True, False))
    expected = np.median((made["a"] - made["b"]).mean(1))
    assert up["median_difference"] == pytest.approx(expected) and up["verdict"] == "better"
    assert down["median_difference"] == pytest.approx(-expected) and down["verdict"] == "worse"
    assert up["seeds_agreeing"] == down["seeds_agreeing"] == 1.0


def test_permuting_names_changes_nothing() -> None:
    made = scores.made(QUALITY)
    names = ["ig", "gxi", "lrp", "lime"]
    other = dict(zip(names, ["lime", "ig", "gxi", "lrp"], strict=True)) | {
        "random": "random",
        "edges": "edges",
    }
    expected = {frozenset(other[name] for name in pair) for pair in numbers(verdicts(made))}
    renamed = verdicts({other[name]: values for name, values in made.items()})
    assert set(numbers(renamed)) == expected
    for pair, row in numbers(verdicts(made)).items():
        a, b = sorted(pair)
        sign = 1 if other[a] < other[b] else -1
        twin = numbers(renamed)[frozenset((other[a], other[b]))]
        assert twin == pytest.approx((sign * row[0], sign * row[1], *row[2:4], sign * row[4]))


@pytest.mark.parametrize("copied", ["ig", "lime"])
def test_a_copy_changes_no_verdict_and_is_tied(copied: str) -> None:
    made = scores.made(QUALITY)
    before, after = numbers(verdicts(made)), numbers(verdicts(made | {"copy": made[copied].copy()}))
    assert {pair: after[pair] for pair in before} == before
    assert after[frozenset(("copy", copied))][1:] == (0.0, 1.0, 1.0, 0)
    for other in {"ig", "gxi", "lrp", "lime"} - {copied}:
        assert after[frozenset(("copy", other))][2:4] == before[frozenset((copied, other))][2:4]


def test_a_control_changes_no_verdict_between_methods() -> None:
    made = scores.made(QUALITY)
    fewer = {name: values for name, values in made.items() if name != "edges"}
    before, after = numbers(verdicts(fewer)), numbers(verdicts(made))
    assert {pair: after[pair] for pair in before} == before


def test_rounding_is_no_difference() -> None:
    base = scores.made({"a": 1.0})["a"]
    cube = np.stack([base, base * (1 + RESOLUTION / 100), base * (1 + 100 * RESOLUTION)])
    assert same(cube).tolist() == [0, 0, 1]
    assert verdicts({"a": base, "b": base + 1e-9}).iloc[0]["verdict"] == "tied"


def test_differences_use_the_seeds_that_both_have() -> None:
    made = scores.made({"a": 0.5, "b": 0.4})
    made["b"] = made["b"].copy()
    table = scores.table(made)
    table = table[(table["method"] != "b") | (table["seed"] > 0)]
    (here,) = units(table, {"srg": True})
    row = pairs.table(here, pairs.compare(here)).iloc[0]
    assert row["median_difference"] == pytest.approx(
        np.median((made["a"] - made["b"])[:, 1:].mean(1))
    )
    assert here.ranked.tolist() == [True, False]


def test_second_opinion_agrees_where_it_is_clear() -> None:
    here = block(scores.made({"a": 0.9, "b": 0.2, "c": 0.9}))
    found = pairs.second_opinion(here, [0, 1, 2]).set_index("second")
    assert found.loc["b", "p_first"] > 0.99
    assert found[["p_first", "p_equal", "p_second"]].sum(axis=1).to_numpy() == pytest.approx(1)

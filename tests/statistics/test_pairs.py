"""Paired verdicts: textbook twins, other libraries, and what copies, controls and names may not change."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from gpex_bench.statistics import pairs
from gpex_bench.statistics.units import RESOLUTION, Units, same, units
from tests.vocabulary import scores

TURNED = {"better": "worse", "worse": "better"}
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
            sign * row["mean_difference"],
            row["p_value"],
            row["p_holm"],
            row["p_equal"],
        ]
        verdict = row["verdict"] if sign > 0 else TURNED.get(row["verdict"], row["verdict"])
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


def test_positive_is_better_whatever_the_direction() -> None:
    made = scores.made({"a": 0.5, "b": 0.1})
    up, down = (verdicts(made, way).loc[("a", "b")] for way in (True, False))
    expected = (made["a"] - made["b"]).mean()
    assert up["mean_difference"] == pytest.approx(expected) and up["verdict"] == "better"
    assert down["mean_difference"] == pytest.approx(-expected) and down["verdict"] == "worse"
    assert (down["low"], down["high"]) == pytest.approx((-up["high"], -up["low"]))
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
        assert twin[:4] == pytest.approx((sign * row[0], *row[1:4]))
        assert twin[4] == (row[4] if sign > 0 else TURNED.get(row[4], row[4]))


@pytest.mark.parametrize("copied", ["ig", "lime"])
def test_a_copy_changes_no_verdict_and_is_equal(copied: str) -> None:
    made = scores.made(QUALITY)
    before, after = numbers(verdicts(made)), numbers(verdicts(made | {"copy": made[copied].copy()}))
    assert {pair: after[pair] for pair in before} == before
    assert after[frozenset(("copy", copied))] == (0.0, 1.0, 1.0, 0.0, "equal")
    for other in {"ig", "gxi", "lrp", "lime"} - {copied}:
        assert after[frozenset(("copy", other))][1:4] == before[frozenset((copied, other))][1:4]


def test_a_control_changes_no_verdict_between_methods() -> None:
    made = scores.made(QUALITY)
    fewer = {name: values for name, values in made.items() if name != "edges"}
    before, after = numbers(verdicts(fewer)), numbers(verdicts(made))
    assert {pair: after[pair] for pair in before} == before


def test_rounding_is_no_difference() -> None:
    base = scores.made({"a": 1.0})["a"]
    cube = np.stack([base, base * (1 + RESOLUTION / 100), base * (1 + 100 * RESOLUTION)])
    assert same(cube).tolist() == [0, 0, 1]
    assert verdicts({"a": base, "b": base + 1e-9}).iloc[0]["verdict"] == "equal"


def test_differences_use_the_seeds_that_both_have() -> None:
    made = scores.made({"a": 0.5, "b": 0.4})
    made["b"] = made["b"].copy()
    table = scores.table(made)
    table = table[(table["method"] != "b") | (table["seed"] > 0)]
    (here,) = units(table, {"srg": True})
    row = pairs.table(here, pairs.compare(here)).iloc[0]
    assert row["mean_difference"] == pytest.approx((made["a"] - made["b"])[:, 1:].mean())
    assert here.ranked.tolist() == [True, False]

"""Rounding decides nothing: ties, groups, ranks, verdicts and p values bear the last bits of scores."""

import numpy as np
import pandas as pd
import pytest

from gpex_bench.plugins.registry import plugins
from gpex_bench.statistics import ranking
from gpex_bench.statistics.outcomes import summarise
from gpex_bench.statistics.pairs import compare, table
from gpex_bench.statistics.units import Scale, rounded, units
from tests.vocabulary import scores

N_SAMPLES, N_SEEDS = 40, 3
METRICS = {name: entry.cls for name, entry in plugins("metric").items() if entry.cls is not None}


def looking_real(scale: tuple[float, float], resolution: float, seed: int) -> dict[str, np.ndarray]:
    """Return scores as metrics give them: spread, yes or no, shares, and 0 up to rounding."""
    rng = np.random.default_rng(seed)
    low, high = (
        end if np.isfinite(end) else side for end, side in zip(scale, (-3, 3), strict=True)
    )
    width = high - low
    shape = (N_SAMPLES, N_SEEDS)
    made = {
        "spread": low + width * rng.beta(4, 3, shape),
        "near": low + width * rng.beta(4, 3.1, shape),
        "yes or no": low + width * rng.integers(0, 2, shape),
        "mostly yes": low + width * (rng.random(shape) < 0.9),
        "shares": low + width * rng.integers(0, 8, shape) / 7,
        "thirds": low + width * rng.integers(0, 4, shape) / 3,
    }
    if resolution:
        made |= {name: 3e-8 * rng.lognormal(size=shape) for name in ("zero", "zero too")}
    return made


def everything(made: dict[str, np.ndarray], scale: Scale) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the comparisons, and the place of each method."""
    (here,) = units(scores.table(made), {"srg": scale})
    found = table(here, compare(here)).set_index(["method", "other"])
    return found, ranking.places(here)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_the_last_bits_change_nothing(name: str) -> None:
    metric = METRICS[name]()
    low, high = metric.range
    scale = Scale(
        higher_is_better=metric.higher_is_better,
        margin=metric.margin,
        resolution=metric.resolution,
        width=high - low,
    )
    made = looking_real(metric.range, metric.resolution, sum(map(ord, name)))
    rng = np.random.default_rng(0)
    moved = {
        method: numbers * (1 + 1e-12 * rng.uniform(-1, 1, numbers.shape))
        for method, numbers in made.items()
    }

    (before, places), (after, moved_places) = everything(made, scale), everything(moved, scale)
    assert before["verdict"].tolist() == after["verdict"].tolist()
    for column in ("p_value", "p_holm", "p_equal", "mean_difference", "low", "high", "margin"):
        assert after[column].to_numpy() == pytest.approx(before[column].to_numpy(), abs=1e-9)
    assert moved_places.tolist() == places.tolist()


def test_methods_below_the_resolution_are_equal() -> None:
    """Of errors that are 0 up to rounding none is better, and one that is not 0 is worse."""
    rng = np.random.default_rng(1)
    shape = (N_SAMPLES, N_SEEDS)
    made = {
        "a": 5e-8 * rng.lognormal(size=shape),
        "b": 2e-7 * rng.lognormal(sigma=0.3, size=shape),
        "c": np.zeros(shape),
        "wrong": 0.2 + 0.05 * rng.random(shape),
    }
    metric = METRICS["linearity_error"]()
    scale = Scale(higher_is_better=False, margin=metric.margin, resolution=metric.resolution)
    found, _ = everything(made, scale)
    among = found.drop(index="wrong", level="other")
    assert set(among["verdict"]) == {"equal"} and (among["mean_difference"] == 0).all()
    assert set(found.xs("wrong", level="other")["verdict"]) == {"better"}
    summary = summarise(scores.table(made), {"srg": scale}).set_index("method")
    assert summary.loc["b", "mean"] == pytest.approx(made["b"].mean())  # printed as it is


def test_gaps_decide_and_no_grid() -> None:
    base = np.random.default_rng(2).uniform(0, 1, (1, 5000))
    near = base * (1 + 5e-10)
    far = base * (1 + 1e-7)
    found = rounded(np.concatenate([near, base, far]))
    assert (found[0] == found[1]).all() and (found[0] == base[0]).all()
    assert (found[2] == far[0]).all()


def test_missing_scores_stay_missing() -> None:
    cube = np.array([[1.0, np.nan], [1.0 + 1e-12, 2.0], [np.nan, np.nan]])
    found = rounded(cube)
    assert np.array_equal(np.isnan(found), np.isnan(cube)) and found[0, 0] == found[1, 0]


@pytest.mark.parametrize("seed", range(12))
def test_marks_never_contradict_the_printed_intervals(seed: int) -> None:
    """Better leaves 0 out, equal is within the margin, what holds 0 is never better or worse."""
    rng = np.random.default_rng(seed)
    levels = np.round(rng.normal(0, 0.05, 9), 2)
    spread = 0.02 if seed % 2 else 0.3
    common = rng.normal(0, 0.3, (N_SAMPLES, 1))
    made = {
        f"m{at}": level + common + spread * rng.standard_t(4, (N_SAMPLES, N_SEEDS))
        for at, level in enumerate(levels)
    }
    scale = Scale(higher_is_better=bool(seed % 3), margin=0.04, width=2.0)
    found, _ = everything(made, scale)
    side = found["verdict"].map({"better": 1, "worse": -1}).fillna(0)
    assert (found.loc[side > 0, "low"] > 0).all() and (found.loc[side < 0, "high"] < 0).all()
    assert (found.loc[side != 0, "mean_difference"].abs() > 0.04).all()
    equal = found[found["verdict"] == "equal"]
    assert (equal["low"] > -equal["margin"]).all() and (equal["high"] < equal["margin"]).all()

    rows = summarise(scores.table(made), {"srg": scale})
    others = rows[~rows["is_best"]]
    worse = others[others["verdict"] == "worse"]
    assert (worse["diff_low"] > 0).all() and not worse["is_best_group"].any()
    level = others[others["verdict"] == "equal"]
    assert (level[["diff_low", "diff_high"]].abs() < 0.04).all().all()
    assert (
        (others["diff_low"] <= others["difference"]) & (others["difference"] <= others["diff_high"])
    ).all()


def test_a_third_method_changes_no_margin_and_no_interval() -> None:
    made = scores.made({"a": 0.5, "b": 0.45, "c": 3.0})
    scale = Scale(higher_is_better=True)
    two, _ = everything({name: made[name] for name in ("a", "b")}, scale)
    three, _ = everything(made, scale)
    columns = ["mean_difference", "low", "high", "margin", "p_value"]
    assert two.loc[("a", "b"), columns].tolist() == three.loc[("a", "b"), columns].tolist()


def test_units_of_scores_do_not_matter_without_a_stated_margin() -> None:
    made = scores.made({"a": 0.5, "b": 0.45, "c": 0.3})
    plain, _ = everything(made, Scale(higher_is_better=True))
    large, _ = everything(
        {name: 1e6 * one for name, one in made.items()}, Scale(higher_is_better=True)
    )
    assert plain["verdict"].tolist() == large["verdict"].tolist()
    assert large["margin"].to_numpy() == pytest.approx(1e6 * plain["margin"].to_numpy())

"""What the scores say about the metrics.

Informative or not, planted truth, trust, variance, variants.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gpex_bench.statistics import TABLES, components, conclude, informative, means, trust, variants
from gpex_bench.statistics.outcomes import summarise
from gpex_bench.statistics.units import Units, units
from gpex_bench.tables.columns import VARIANT_SCORES
from gpex_bench.tables.words import AMONG_FAITHFUL, NOT_USABLE, USABLE
from tests.vocabulary import scores

QUALITY = {
    "ig": 0.6,
    "gxi": 0.5,
    "random": 0.0,
    "edges": 0.2,
    "oracle": 0.9,
    "inverted_oracle": -0.9,
}
NO_VARIANTS = pd.DataFrame(columns=list(VARIANT_SCORES))


def block(made: dict[str, np.ndarray], up: bool = True) -> Units:
    controls = [name for name in made if name in scores.ROLES]
    (found,) = units(scores.table(made), {"srg": up}, controls)
    return found


def judged(made: dict[str, np.ndarray], metric: str = "srg") -> informative.Judgement:
    (record,) = scores.metrics(**{metric: True})
    known = informative.roles(scores.methods(list(made)))
    return informative.judge(block(made), record, known, None)


def rows(made: dict[str, np.ndarray], name: str) -> pd.DataFrame:
    return conclude(
        scores.table(made, "mass"),
        NO_VARIANTS,
        scores.methods(list(made)),
        scores.metrics(mass=True),
    )[name]


# --- what a metric can be used for ----------------------------------------------------------------


def test_a_metric_that_tells_methods_from_blind_controls_is_usable() -> None:
    found = judged(scores.made(QUALITY))
    assert found.use == USABLE and "edges" in found.reason  # the best of the blind controls
    assert 0.5 < found.effect.low < found.effect.size < found.effect.high


def test_the_best_method_must_beat_the_best_blind_control() -> None:
    found = judged(scores.made(QUALITY | {"edges": 0.7}))
    assert found.use == NOT_USABLE and "edges" in found.reason and found.effect.size < 0


def test_the_oracle_need_not_be_good_but_must_not_be_worse_than_a_blind_map() -> None:
    alike = judged(scores.made(QUALITY | {"oracle": 0.2}))
    assert alike.use == USABLE

    found = judged(scores.made(QUALITY | {"oracle": -0.5}))
    assert found.use == NOT_USABLE and "oracle is worse than" in found.reason


@pytest.mark.parametrize(("metric", "use"), [("srg", NOT_USABLE), ("mprt", USABLE)])
def test_the_oracle_is_asked_about_faithfulness_and_truth_alone(metric: str, use: str) -> None:
    assert judged(scores.made(QUALITY | {"oracle": -0.5}), metric).use == use
    assert judged(scores.made(QUALITY | {"oracle": -0.5}), "mass").use == NOT_USABLE


@pytest.mark.parametrize("n_samples", [24, 100])
def test_the_verdict_is_the_same_with_few_and_many_samples(n_samples: int) -> None:
    valid = [judged(planted(1.2, n_samples, seed)).use for seed in range(40)]
    blank = [judged(planted(0.0, n_samples, seed)).use for seed in range(40)]
    assert valid.count(USABLE) >= 39
    assert blank.count(USABLE) <= 1  # 0.7 % of them, with 24 samples and one control


def planted(effect: float, n_samples: int, seed: int) -> dict[str, np.ndarray]:
    """Return scores of methods that differ from a random map by this effect, on one seed."""
    rng = np.random.default_rng([seed, n_samples])
    method = rng.normal(effect, 1, (n_samples, 1))
    made = {f"m{at}": method + rng.normal(0, 0.05, method.shape) for at in range(5)}
    return made | {"random": np.zeros((n_samples, 1))}


def test_a_lucky_method_among_many_random_ones_makes_no_metric_usable() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        made = {f"m{at}": rng.normal(size=(24, 1)) for at in range(40)}
        made |= {"random": rng.normal(size=(24, 1)), "constant": rng.normal(size=(24, 1))}
        assert judged(made).use == NOT_USABLE


def test_one_sample_that_ties_does_not_make_a_metric_useless() -> None:
    scores_of_method = np.full((12, 1), 1.0)
    scores_of_method[4] = 0.5
    found = judged({"ig": scores_of_method, "random": np.full((12, 1), 0.5)})
    assert found.use == USABLE and found.effect.size > 3


def test_too_few_samples_are_named() -> None:
    found = judged(scores.made({"ig": 9.0, "random": 0.0}, n_samples=7))
    assert found.use == NOT_USABLE and "too few samples (7" in found.reason
    assert judged(scores.made({"ig": 9.0, "random": 0.0}, n_samples=8)).use == USABLE


def test_without_blind_controls_nothing_is_tested() -> None:
    found = judged(scores.made({"ig": 0.6, "gxi": 0.5}))
    assert found.use == USABLE and found.reason.startswith("Not tested")


def test_a_metric_that_scores_no_control_of_the_run_is_not_usable() -> None:
    made = scores.made({"ig": 0.6, "gxi": 0.5, "random": 0.0})
    few = {name: made[name] for name in ("ig", "gxi")}
    long = pd.concat([scores.table(made, "srg"), scores.table(few, "pgi")])
    methods, metrics = scores.methods(list(made)), scores.metrics(srg=True, pgi=True)

    found = conclude(long, NO_VARIANTS, methods, metrics)["informative"].set_index("metric")
    assert found["is_informative"].to_dict() == {"srg": True, "pgi": False}
    assert found.loc["pgi", "reason"].startswith("Not tested")


def test_a_constant_map_can_be_perfect_so_only_faithful_methods_are_ordered() -> None:
    faithful = scores.made({"ig": 0.9, "gxi": 0.8, "lazy": 0.1, "random": 0.0, "edges": 0.3})
    steady = scores.made({"ig": 0.1, "gxi": 0.5, "lazy": 0.9, "random": 0.2, "edges": 0.4})
    long = pd.concat([scores.table(faithful, "srg"), scores.table(steady, "steadiness")])
    records, metrics = scores.methods(list(faithful)), scores.metrics(srg=True, steadiness=True)
    found = conclude(long, NO_VARIANTS, records, metrics)

    assert found["informative"].set_index("metric")["use"].to_dict() == {
        "srg": USABLE,
        "steadiness": AMONG_FAITHFUL,
    }
    who = found["faithful"].set_index("method")
    assert who["is_faithful"].to_dict() == {"ig": True, "gxi": True, "lazy": False}
    assert who["n_better"].to_dict() == {"ig": 1, "gxi": 1, "lazy": 0}

    ranked = found["ranking"].query("metric == 'steadiness' and not is_control")
    best = ranked.sort_values("place")["method"]
    assert list(best) == ["gxi", "ig"]
    assert {"lazy"} < set(found["pairs"].query("metric == 'steadiness'")["method"])

    left = informative.left_out(found["informative"], found["faithful"])
    summary = summarise(long, {"srg": True, "steadiness": True}, ["random", "edges"], (), left)
    marks = summary.query("metric == 'steadiness'").set_index("method")["is_best_group"]
    assert marks.to_dict() == {
        "ig": False, "gxi": True, "lazy": False, "random": False, "edges": False
    }  # fmt: skip


def test_where_no_method_is_faithful_a_steady_one_is_not_praised() -> None:
    made = scores.made({"ig": 0.0, "gxi": 0.0, "random": 0.0, "edges": 0.3})
    long = pd.concat([scores.table(made, "srg"), scores.table(made, "steadiness")])
    records, metrics = scores.methods(list(made)), scores.metrics(srg=True, steadiness=True)
    found = conclude(long, NO_VARIANTS, records, metrics)
    assert set(found["informative"]["use"]) == {NOT_USABLE} and found["ranking"].empty
    assert not found["faithful"]["is_faithful"].any()


def test_a_run_without_faithfulness_metrics_orders_all_methods() -> None:
    made = scores.made({"ig": 0.1, "gxi": 0.5, "random": 0.2})
    found = conclude(
        scores.table(made, "steadiness"),
        NO_VARIANTS,
        scores.methods(list(made)),
        scores.metrics(steadiness=True),
    )
    assert found["informative"]["use"].item() == AMONG_FAITHFUL
    assert {"ig", "gxi"} <= set(found["ranking"]["method"]) and found["faithful"].empty


def test_unusable_pairs_are_in_no_ranking() -> None:
    good, bad = scores.made(QUALITY), scores.made(QUALITY | {"edges": 0.95}, seed=5)
    long = pd.concat([scores.table(good, "srg"), scores.table(bad, "pgi")])
    found = conclude(
        long, NO_VARIANTS, scores.methods(list(good)), scores.metrics(srg=True, pgi=True)
    )
    assert found["informative"].set_index("metric")["is_informative"].to_dict() == {
        "srg": True,
        "pgi": False,
    }
    assert set(found["ranking"]["metric"]) == {"srg"}
    assert set(found["pairs"]["metric"]) == {"srg", "pgi"}
    assert set(found["power"]["metric"]) == {"srg", "pgi"}
    ranked = found["ranking"]
    assert set(ranked.loc[~ranked["is_control"], "method"]) == {"ig", "gxi"}


def test_controls_are_named_by_what_they_are_for() -> None:
    made = scores.made(QUALITY)
    records = scores.methods(list(made))
    records += [
        {
            "method": "flipped",
            "kind": "control",
            "role": "inverted",
            "of": "ig",
            "is_blind": False,
        },
        {
            "method": "soft",
            "kind": "gradient",
            "role": "blurred",
            "of": "ig",
            "is_blind": False,
        },
    ]
    made |= scores.made({"flipped": -0.6, "soft": 0.55}, seed=3)
    found = conclude(scores.table(made), NO_VARIANTS, records, scores.metrics(srg=True))["pairs"]
    words = found.set_index(["method", "other"])["relation"]
    assert words[("ig", "random")] == "random" and words[("gxi", "edges")] == "edge detector"
    assert words[("ig", "flipped")] == "inverted self" and words[("gxi", "flipped")] == "inverted"
    assert (
        words[("ig", "soft")] == "blurred self"
        and words[("gxi", "ig")] == words[("gxi", "soft")] == ""
    )


# --- planted truth --------------------------------------------------------------------------------


def test_planted_truth_against_the_edge_detector() -> None:
    made = scores.made(QUALITY | {"worse": 0.1})
    found = rows(made, "planted").set_index("method")
    assert set(found.index[found["beats_edge_detector"]]) == {"ig", "gxi", "oracle"}
    assert found.loc["ig", "mean"] == pytest.approx(made["ig"].mean())
    assert found.loc["ig", "low"] < found.loc["ig", "mean"] < found.loc["ig", "high"]
    gap = made["ig"] - made["edges"]
    assert found.loc["ig", "edge_difference"] == pytest.approx(gap.mean())
    worse = (made["worse"] - made["edges"]).mean(1)
    _, _, p_value = means.means(worse[None]).test
    assert found.loc["worse", "p_holm"] == pytest.approx(p_value[0])  # the largest of the family
    assert np.isnan(
        rows({n: v for n, v in made.items() if n != "edges"}, "planted")["edge_difference"]
    ).all()


# --- trust ----------------------------------------------------------------------------------------


def test_planted_order_is_one_when_right_and_zero_when_reversed() -> None:
    quality = {"oracle": 4.0, "ig": 3.0, "gxi": 2.9, "random": 1.0, "inverted_oracle": 0.0}
    made = scores.made(quality)
    known = informative.roles(scores.methods(list(made)))
    assert trust.planted_order(block(made), known) == (1.0, 1.0, 1.0)
    assert trust.planted_order(block({name: -values for name, values in made.items()}), known) == (
        0.0,
        0.0,
        0.0,
    )
    alike = {name: np.ones((40, 3)) for name in quality}
    assert trust.planted_order(block(alike), known)[0] == 0.5
    assert trust.planted_order(block({"ig": made["ig"]}), known) is None


def test_kendalls_w_by_hand_and_from_friedman() -> None:
    ranks = stats.rankdata(np.random.default_rng(0).normal(size=(5, 7)), axis=1)
    assert trust.kendalls_w(ranks) == pytest.approx(
        stats.friedmanchisquare(*ranks.T).statistic / (5 * 6)
    )
    tied = stats.rankdata(np.random.default_rng(1).integers(0, 3, (5, 7)), axis=1)
    assert trust.kendalls_w(tied) == pytest.approx(
        stats.friedmanchisquare(*tied.T).statistic / (5 * 6)
    )
    assert trust.kendalls_w(np.tile(np.arange(1.0, 5), (3, 1))) == 1.0
    assert np.isnan(trust.kendalls_w(np.full((3, 4), 2.5)))


def test_random_control_at_chance() -> None:
    made = scores.made(QUALITY, n_samples=200)
    found = rows(made, "trust").set_index("property")
    assert found.loc["random minus chance", "value"] == pytest.approx(made["random"].mean())
    assert found.loc["random minus chance", "low"] < 0 < found.loc["random minus chance", "high"]
    assert found.loc["separation", "value"] == 1.0 and found.loc["seed agreement", "value"] == 1.0


# --- variance components --------------------------------------------------------------------------


def test_components_of_a_two_way_table_by_hand() -> None:
    table = np.random.default_rng(0).normal(size=(6, 9)) + np.arange(6)[:, None]
    found = components.components(table, ("row", "column"))
    row = 9 * table.mean(1).var(ddof=1)
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    error = (rest**2).sum() / (5 * 8)
    assert found["residual"] == pytest.approx((error, 40))
    assert found["row"] == pytest.approx(((row - error) / 9, 5))


def test_components_are_recovered_from_a_planted_model() -> None:
    rng = np.random.default_rng(1)
    truth = {
        "method": 4.0,
        "sample": 2.0,
        "training seed": 1.0,
        "method x sample": 3.0,
        "residual": 0.5,
    }
    draws = []
    for _ in range(60):
        table = np.sqrt(4.0) * rng.normal(size=(20, 1, 1)) + np.sqrt(2.0) * rng.normal(
            size=(1, 20, 1)
        )
        table = table + rng.normal(size=(1, 1, 10)) + np.sqrt(3.0) * rng.normal(size=(20, 20, 1))
        table = table + np.sqrt(0.5) * rng.normal(size=(20, 20, 10))
        draws.append(
            {
                name: number
                for name, (number, _) in components.components(table, components.FACTORS).items()
            }
        )
    means = pd.DataFrame(draws).mean()
    for name, number in truth.items():
        assert means[name] == pytest.approx(number, rel=0.2)
    assert means[["method x training seed", "sample x training seed"]].max() < 0.02


def test_shares_sum_to_one_and_one_seed_has_no_seed_component() -> None:
    three, one = (rows(scores.made(QUALITY, n_seeds=n_seeds), "variance") for n_seeds in (3, 1))
    assert three["share"].sum() == pytest.approx(1) and one["share"].sum() == pytest.approx(1)
    assert three.set_index("component").loc["training seed", "dof"] == 2
    assert set(one["component"]) == {"method", "sample", "residual"}


# --- variants and runs ----------------------------------------------------------------------------


def variant_scores() -> pd.DataFrame:
    levels = {
        "zero": {"a": 0.9, "b": 0.5, "c": 0.1, "random": 0.0},
        "blur": {"a": 0.1, "b": 0.5, "c": 0.9, "random": 0.0},
    }
    return pd.concat(
        scores.table(scores.made(quality)).assign(fill=fill, output=output, change=1.0)
        for fill, quality in levels.items()
        for output in ("logit", "probability")
    )


def test_rank_agreement_of_variants() -> None:
    found = variants.summarise(variant_scores())
    assert (
        len(found) == 16
        and (found["low"] < found["mean"]).all()
        and (found["mean"] < found["high"]).all()
    )
    taus = variants.agreement(found, ["random"]).set_index(
        ["fill", "output", "other_fill", "other_output"]
    )
    assert len(taus) == 6 and set(taus["n_methods"]) == {3} and set(taus["n_with_controls"]) == {4}
    assert taus.loc[("blur", "logit", "blur", "probability"), "tau"] == 1
    assert taus.loc[("blur", "logit", "zero", "logit"), "tau"] == -1
    assert taus.loc[("blur", "logit", "zero", "logit"), "tau_with_controls"] == pytest.approx(0)
    two = variants.agreement(found[found["method"].isin(["a", "c"])])
    assert set(two["tau"]) == {-1.0, 1.0}
    assert (
        variants.summarise(NO_VARIANTS).empty
        and variants.agreement(variants.summarise(NO_VARIANTS)).empty
    )


def test_conclusions_have_their_columns_also_when_empty() -> None:
    full = conclude(
        scores.table(scores.made(QUALITY)),
        variant_scores().replace({"method": {"a": "ig", "b": "gxi"}}),
        scores.methods(list(QUALITY)),
        scores.metrics(srg=True),
        "srg",
    )
    empty = conclude(scores.table({}), NO_VARIANTS, [], [])
    for name, columns in TABLES.items():
        assert tuple(full[name].columns) == tuple(empty[name].columns) == tuple(columns)
    assert not any(len(table) for table in empty.values())
    without = ("overall_pairs", "planted", "truth_agreement")
    assert all(len(full[name]) for name in TABLES if name not in without)


def test_order_of_rows_does_not_matter() -> None:
    long = scores.table(scores.made(QUALITY))
    records, known = scores.methods(list(QUALITY)), scores.metrics(srg=True)
    one, other = (
        conclude(frame, NO_VARIANTS, records, known)
        for frame in (long, long.sample(frac=1, random_state=0))
    )
    for name in TABLES:
        pd.testing.assert_frame_equal(one[name], other[name])

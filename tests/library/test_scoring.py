"""Scoring any maps: the numbers of the workflow, and reasons where there are none."""

import numpy as np
import pandas as pd
import pytest
import torch

import gpex_bench as gb
from gpex_bench.measurements.curves import Curves
from gpex_bench.models.mlp import Mlp
from gpex_bench.stages.curves import Recorded, summarise_curves
from gpex_bench.stages.score import Limits
from gpex_bench.stages.score import score as in_the_workflow
from gpex_bench.statistics.intervals import intervals
from gpex_bench.statistics.units import units
from gpex_bench.types import Attribution, Case
from tests.library.conftest import mlp, seeded

KEY = {"dataset": "wine", "model": "mlp", "seed": 1, "method": "lrp"}


@pytest.fixture(scope="module")
def explained():
    """A network of the suite, six samples of its dataset, and their maps."""
    data = gb.dataset("wine")
    model = seeded(lambda: Mlp(wide=16).build(data).eval())
    rows = gb.Split(x=data.test.x[:6], y=data.test.y[:6], sample=data.test.sample[:6])
    return model, data, rows, gb.explain(model, rows, "lrp", data=data, seed=1)


def test_scores_are_those_of_the_workflow(explained):
    """Of curves, of subsets, of maps made again, and of another network."""
    model, data, rows, maps = explained
    names = ("srg", "infidelity", "sparseness", "max_sensitivity", "mprt", "completeness_error")
    scores = gb.score(model, rows, maps, names, data=data, seed=1)
    assert set(scores["method"]) == {"lrp"} and len(scores) == 6 * len(names)
    assert scores["sample"].tolist() == rows.sample.tolist() * len(names)

    metrics = {name: gb.metric(name) for name in names}
    case = Case(
        task=maps.made.task,
        query=maps.made.query,
        explanation=maps.attribution,
        explainer=maps.made.explainer,
    )
    plain = {name: metric for name, metric in metrics.items() if name != "srg"}
    limits = Limits(robustness_samples=6, timeout_seconds=100.0)
    stored = in_the_workflow(plain, [Curves()], case, limits)
    recorded = Recorded(key=KEY, curves=stored.curves, sample=rows.sample)
    curves = summarise_curves({"srg": metrics["srg"]}, [recorded]).scores

    for name, metric in metrics.items():
        own = scores[scores["metric"] == name]
        table = curves if name == "srg" else stored.scores
        expected = table[table["metric"] == name].set_index("sample")["score"]
        assert own["score"].tolist() == expected[own["sample"]].tolist(), name
        assert set(own["status"]) == {"ok"}
        assert set(own["higher_is_better"]) == {metric.higher_is_better}


def test_maps_from_elsewhere_score_as_those_that_know_their_method(explained):
    model, data, rows, maps = explained
    several = {
        "known": maps,
        "array": maps.numpy(),
        "tensor": maps.values.double(),
        "list": maps.numpy().tolist(),
        "attribution": Attribution(values=maps.values),
    }
    scores = gb.score(model, rows, several, ["srg", "infidelity", "sparseness"], data=data)
    wide = scores.pivot(index=["metric", "sample"], columns="method", values="score")
    for name in several:
        assert np.array_equal(wide[name], wide["known"]), name


def test_what_cannot_be_asked_again_says_so(explained):
    model, data, rows, maps = explained
    names = (
        "max_sensitivity",
        "mprt",
        "local_lipschitz",
        "seed_consistency",
        "random_logit",
        "srg",
    )
    both = {"mine": maps.numpy(), "lrp": maps}
    scores = gb.score(model, rows, both, names, data=data).set_index(["method", "metric"])
    for name in names[:-1]:
        mine = scores.loc[("mine", name)]
        assert set(mine["status"]) == {"not_applicable"} and mine["score"].isna().all(), name
        assert set(mine["reason"]) == {"cannot be asked again: its maps were made elsewhere"}, name
        assert set(scores.loc[("lrp", name), "status"]) == {"ok"}, name
    assert set(scores.loc[("mine", "srg"), "status"]) == {"ok"}


def test_maps_are_made_again_as_they_were_made(on_table, table):
    """Methods are asked with their own baseline and training samples, whatever removal shows."""
    x = table.test.x[:4]
    maps = gb.explain(on_table, x, "feature_ablation", baseline=1.0)
    alone = gb.score(on_table, x, maps, ["max_sensitivity", "srg"])
    given = gb.score(on_table, x, maps, ["max_sensitivity", "srg"], baseline=1.0)
    assert alone["score"].tolist() == given["score"].tolist()

    other = gb.score(on_table, x, maps, ["max_sensitivity", "srg"], baseline=0.0)
    is_again = other["metric"] == "max_sensitivity"
    assert other[is_again]["score"].tolist() == given[is_again]["score"].tolist()
    assert other[~is_again]["score"].tolist() != given[~is_again]["score"].tolist()

    drawn = gb.explain(on_table, x, "expected_gradients", data=table)
    again = gb.score(on_table, x, drawn, "max_sensitivity")
    assert set(again["status"]) == {"ok"}


def test_maps_of_pixels_are_divided_among_the_channels(on_images):
    x = torch.rand(2, 3, 16, 16)
    pixels = torch.randn(2, 16, 16)
    metrics = ["srg", "infidelity", "sparseness", "complexity", "completeness_error"]
    whole = (pixels[:, None] / 3).expand(2, 3, 16, 16)
    one = gb.score(on_images, x, {"maps": pixels}, metrics)
    for same in (whole, pixels[:, None]):
        assert gb.score(on_images, x, {"maps": same}, metrics)["score"].equals(one["score"])

    single = gb.score(on_images, x[0], pixels[0], "srg")
    assert len(single) == 1 and set(single["method"]) == {"maps"}


@pytest.mark.parametrize(
    ("maps", "text"),
    [
        (torch.zeros(2, 3, 16, 15), r"\(2, 3, 16, 16\), or \(2, 16, 16\), got \(2, 3, 16, 15\)"),
        (torch.zeros(1, 3, 16, 16), r"got \(1, 3, 16, 16\)"),
        (torch.zeros(3, 16, 16), r"got \(3, 16, 16\)"),
        (torch.zeros(2, 16, 16, 3), r"whose channels are last; transpose them to \(0, 3, 1, 2\)"),
        (torch.full((2, 16, 16), torch.nan), r"maps\['mine'\] must be finite .* 512 of 512"),
        (np.full((2, 16, 16), "a"), r"maps\['mine'\] must hold real numbers"),
        ({}, r"maps\['mine'\]"),
    ],
)
def test_maps_that_do_not_fit_are_refused_with_both_shapes(on_images, maps, text):
    with pytest.raises(ValueError, match=text):
        gb.score(on_images, torch.rand(2, 3, 16, 16), {"mine": maps})


def test_maps_of_other_inputs_or_outputs_are_refused(on_table, table):
    x = table.test.x[:3]
    maps = gb.explain(on_table, x, "lrp")
    with pytest.raises(ValueError, match=r"maps\['lrp'\] explains other inputs"):
        gb.score(on_table, table.test.x[3:6], maps, target=maps.target)
    with pytest.raises(ValueError, match=r"maps\['lrp'\] explains the outputs .*, not \[0, 0, 0\]"):
        others = gb.explain(on_table, x, "lrp", target=1)
        gb.score(on_table, x, {"lrp": others}, target=0)
    with pytest.raises(ValueError, match=r"maps\['lrp'\] explains another network"):
        gb.score(seeded(mlp, 1), x, maps)
    with pytest.raises(ValueError, match="maps must hold at least one"):
        gb.score(on_table, x, {})


def test_targets_of_maps_are_kept(on_table, table):
    x = table.test.x[:3]
    maps = gb.explain(on_table, x, "lrp", target=[2, 0, 1])
    assert gb.score(on_table, x, maps, "srg")["target"].tolist() == [2, 0, 1]
    mine = gb.score(on_table, x, maps.numpy(), "srg", target=[2, 0, 1])
    assert mine["score"].tolist() == gb.score(on_table, x, maps, "srg")["score"].tolist()


def test_metrics_come_by_name_with_settings_or_both(on_table, table):
    x = table.test.x[:2]
    maps = torch.randn(2, 6)
    own = gb.metric("srg", output="logit")
    assert set(gb.score(on_table, x, maps, own)["metric"]) == {"srg"}
    named = gb.score(on_table, x, maps, {"of_logit": own, "srg": "srg"})
    assert list(dict.fromkeys(named["metric"])) == ["of_logit", "srg"]
    with pytest.raises(ValueError, match="'srg' is there twice; name them by a dict"):
        gb.score(on_table, x, maps, ["srg", own])
    with pytest.raises(ValueError, match="unknown metric 'srgg'. Did you mean 'srg'"):
        gb.score(on_table, x, maps, "srgg")
    with pytest.raises(ValueError, match="at least one metric"):
        gb.score(on_table, x, maps, [])


def test_metrics_that_do_not_apply_say_what_is_missing(on_table, table):
    number = gb.wrap(seeded(lambda: mlp(1)), kind="number")
    scores = gb.score(number, table.test.x[:2], torch.randn(2, 6), ["srg", "pointing_game", "irof"])
    reasons = scores.drop_duplicates("metric").set_index("metric")["reason"]
    assert "needs probabilities (the network gives a number)" in reasons["srg"]
    assert "needs truth (give truth=" in reasons["pointing_game"]
    assert "needs training samples (give data=" in reasons["irof"]
    assert set(scores["status"]) == {"not_applicable"} and scores["score"].isna().all()


def test_a_truth_that_is_known_is_scored(on_images):
    x = torch.rand(2, 3, 16, 16)
    truth = torch.zeros(2, 16, 16, dtype=torch.bool)
    truth[:, 4:8, 4:8] = True
    maps = {"right": truth.float(), "wrong": (~truth).float()}
    scores = gb.score(on_images, x, maps, ["rank_accuracy", "pointing_game"], truth=truth)
    means = scores.groupby(["metric", "method"])["score"].mean().unstack()
    assert (means["right"] == 1).all() and (means["wrong"] == 0).all()

    oracle = gb.explain(on_images, x, "oracle", truth=truth)
    assert set(gb.score(on_images, x, oracle, "pointing_game")["score"]) == {1.0}


def test_examples_are_not_scored_as_maps(on_table, table):
    x = table.test.x[:2]
    found = gb.explain(on_table, x, "random_examples", data=table, k=3)
    scores = gb.score(on_table, x, found, ["srg", "class_purity", "group_purity"])
    reasons = scores.drop_duplicates("metric").set_index("metric")["reason"]
    assert reasons["srg"] == "scores attribution, not examples"
    assert reasons["class_purity"] == ""
    assert "needs truth" in reasons["group_purity"]
    # a mask says nothing about groups of training samples
    truth = torch.ones(2, 6)
    masked = gb.score(on_table, x, found, "group_purity", data=table, truth=truth)
    assert set(masked["reason"]) == {"needs the groups of training samples, not a mask"}


def test_what_fails_is_no_score_and_warns(on_table, table):
    from gpex_bench.types import Metric, settings

    @settings
    class Broken(Metric):
        title = "broken"
        reference = "none"
        cost = "none"
        measures = "complexity"
        higher_is_better = True
        range = (0.0, 1.0)
        chance = None

        def score(self, case):
            return torch.full((len(case.query.x),), 2.0)

    with pytest.warns(UserWarning, match="broken of maps: failed: .*must lie in"):
        scores = gb.score(on_table, table.test.x[:2], torch.randn(2, 6), {"broken": Broken()})
    assert set(scores["status"]) == {"failed"} and scores["score"].isna().all()


def test_summaries_are_those_of_the_workflow(explained):
    model, data, rows, maps = explained
    noise = torch.randn(6, 13, generator=torch.Generator().manual_seed(0))
    scores = gb.score(model, rows, {"lrp": maps, "noise": noise}, ["srg", "mprt"], data=data)
    table = gb.summary(scores)
    assert list(table["metric"]) == ["srg", "srg", "mprt", "mprt"]
    lost = table.iloc[3]
    assert lost["method"] == "noise" and lost["status"] == "not_applicable"
    assert np.isnan(lost["mean"]) and lost["n_samples"] == 0 and "made elsewhere" in lost["reason"]

    known = scores[(scores["metric"] == "srg")].assign(dataset="", model="", seed=0)
    (block,) = units(known, {"srg": True})
    expected = intervals(block).set_index("method")
    own = table[table["metric"] == "srg"].set_index("method")
    for column in ("mean", "low", "high"):
        assert own[column].to_dict() == expected[column].to_dict()
    assert own["mean"].is_monotonic_decreasing


def test_pairs_compare_sample_by_sample():
    n = 12
    frame = pd.DataFrame(
        {
            "method": ["good"] * n + ["bad"] * n,
            "metric": "error",
            "sample": [*range(n)] * 2,
            "score": [*np.linspace(0.1, 0.2, n), *np.linspace(0.5, 0.9, n)],
            "higher_is_better": False,
        }
    )
    (pair,) = gb.pairs(frame).to_dict("records")
    assert {pair["method"], pair["other"]} == {"good", "bad"}
    assert pair["verdict"] == ("better" if pair["method"] == "good" else "worse")
    assert abs(pair["mean_difference"]) == pytest.approx(0.55)
    assert pair["p_value"] == pytest.approx(2 / 2**n)
    assert gb.summary(frame)["method"].tolist() == ["good", "bad"]
    assert not len(gb.pairs(frame[frame["method"] == "good"]))
    with pytest.raises(ValueError, match=r"scores lacks the columns \['higher_is_better'\]"):
        gb.summary(frame.drop(columns="higher_is_better"))


def test_samples_keep_their_identities(explained):
    """A method that draws is asked again with the draws of its samples."""
    model, data, rows, _ = explained
    maps = gb.explain(model, rows, "kernel_shap", data=data, budget=30)
    again = gb.score(model, rows.x, maps, ["seed_consistency", "max_sensitivity"])
    split = gb.score(model, rows, maps, ["seed_consistency", "max_sensitivity"], data=data)
    assert again["sample"].tolist() == split["sample"].tolist()
    assert again["score"].tolist() == split["score"].tolist()
    with pytest.raises(ValueError, match=r"explains the samples .*, not \[0, 1"):
        gb.score(model, rows.x, maps, sample=range(6))


def test_removal_shows_one_baseline(on_table, table):
    x = table.test.x[:3]
    maps = {
        baseline: gb.explain(on_table, x, "feature_ablation", baseline=baseline)
        for baseline in (0.0, 1.0)
    }
    with pytest.raises(ValueError, match="baseline must be given: feature_ablation and"):
        gb.score(on_table, x, maps)
    scores = gb.score(on_table, x, maps, baseline=0.0)
    assert set(scores["method"]) == {"0.0", "1.0"} and set(scores["status"]) == {"ok"}

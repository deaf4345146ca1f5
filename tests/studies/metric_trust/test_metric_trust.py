"""Metrics under perturbed networks and inputs: a metric that is deaf, and one that is not."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from gpex_bench.config import ConfigError, parse
from gpex_bench.contract import toys
from gpex_bench.plugins.registry import ROOT, plugins
from gpex_bench.studies.metric_trust.answer import answer
from gpex_bench.studies.metric_trust.consistency import PARTS, WHOLE, meta_consistency
from gpex_bench.studies.metric_trust.measure import disturb, kept, perturb
from gpex_bench.studies.metric_trust.plan import MetricTrust, Perturbation, metrics_on
from gpex_bench.types import Metric, Query, settings
from tests.vocabulary import scores

TASK, QUERY = next(
    (task, query) for kind, task, query in toys.tasks(toys.Smooth) if kind == "grey images"
)
CONFIG = yaml.safe_load((ROOT / "config/studies/metric_trust.yaml").read_text())
SIZES = {(each.space, each.strength): each.size for each in MetricTrust().each()}
METHODS = {
    name: plugins("method")[name].cls() for name in ("gradient_x_input", "saliency", "input_itself")
}


def perturbed(query, space, strength, number=0):
    size = SIZES[space, strength]
    there = Perturbation(space=space, strength=strength, size=size, number=number)
    return perturb(TASK, query, there)


@pytest.mark.parametrize("strength", ["minor", "disruptive"])
def test_weights_are_multiplied_by_normal_numbers_around_one(strength):
    before = {name: tensor.clone() for name, tensor in TASK.model.state_dict().items()}
    there, query = perturbed(QUERY, "network", strength)
    factors = torch.cat(
        [
            (b / a).flatten()
            for a, b in zip(TASK.model.parameters(), there.model.parameters(), strict=True)
        ]
    )
    size = SIZES["network", strength]
    assert query is QUERY
    assert abs(factors.mean() - 1) < 4 * size / len(factors) ** 0.5
    assert abs(factors.std() / size - 1) < 0.1
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in TASK.model.state_dict().items()
    )
    again, other = (perturbed(QUERY, "network", strength, number)[0].model for number in (0, 1))
    assert torch.equal(again.head.weight, there.model.head.weight)
    assert not torch.equal(other.head.weight, there.model.head.weight)


@pytest.mark.parametrize("strength", ["minor", "disruptive"])
def test_inputs_get_noise_within_the_range_of_the_data(strength):
    task, query = perturbed(QUERY, "input", strength)
    low, high = TASK.data.train.x.min(), TASK.data.train.x.max()
    moved = (query.x - QUERY.x.clamp(low, high)).abs()
    assert task is TASK and torch.equal(query.target, QUERY.target)
    assert query.x.min() >= low and query.x.max() <= high
    assert 0 < moved.max() <= SIZES["input", strength] + 1e-6
    alone = perturbed(QUERY.rows(slice(1, 2)), "input", strength)
    assert torch.equal(alone[1].x, query.x[1:2])


def test_samples_count_where_the_network_says_what_it_should():
    with torch.no_grad():
        said = TASK.model(QUERY.x).argmax(1)
    mixed = Query(
        x=QUERY.x,
        target=torch.where(torch.arange(3) == 1, (said + 1) % 3, said),
        sample=QUERY.sample,
    )
    assert kept(TASK, mixed, "minor").tolist() == [True, False, True]
    assert kept(TASK, mixed, "disruptive").tolist() == [False, True, False]


@settings
class Deaf(Metric):
    """The same number whatever happens, another one for each method."""

    reference = "none"
    measures = "complexity"
    higher_is_better = True
    range = (0.0, float("inf"))
    chance = None

    def score(self, case):
        order = [type(explainer) for explainer in METHODS.values()]
        return torch.full(
            (len(case.query.x),), float(order.index(type(case.explainer))), dtype=torch.float64
        )


@settings
class Believer(Metric):
    """The probability of the target: it falls when the network predicts something else."""

    reference = "none"
    measures = "faithfulness"
    higher_is_better = True
    range = (0.0, 1.0)
    chance = None

    def score(self, case):
        with torch.no_grad():
            return (
                case.task.model(case.query.x)
                .softmax(1)
                .gather(1, case.query.target[:, None])[:, 0]
                .double()
            )


def run(metrics, methods=METHODS, query=QUERY, **changes):
    settings = {"perturbations": MetricTrust().each(), "n_explained_again": 3} | changes
    return disturb(metrics, methods, TASK, query, **settings)


def test_a_deaf_metric_is_resilient_and_does_not_react():
    train = TASK.data.train
    with torch.no_grad():
        target = TASK.model(train.x).argmax(1)
    query = Query(x=train.x, target=target, sample=train.sample)
    metrics = {"deaf": Deaf(), "believer": Believer()}
    plain, table = (
        frame.assign(dataset="toy", model="smooth") for frame in run(metrics, query=query)
    )
    assert set(table["perturbation"]) == {0, 1}
    strengths = {space: set(part["strength"]) for space, part in table.groupby("space")}
    # no noise on its input makes this network predict something else
    assert strengths == {"network": {"minor", "disruptive"}, "input": {"minor"}}

    found = meta_consistency(plain, table, {"deaf": True, "believer": True})
    value = found.set_index(["metric", "space", "property"])["value"]
    for space in strengths:
        assert value["deaf", space, "noise resilience (scores)"] == 1
        assert value["deaf", space, "noise resilience (ranks)"] == 1
    assert value["deaf", "network", "adversary reactivity (scores)"] == 0
    assert value["deaf", "network", "adversary reactivity (ranks)"] == 0
    assert value["believer", "network", "adversary reactivity (ranks)"] > 0.9


def test_only_attributions_are_judged():
    examples = {"random_examples": plugins("method")["random_examples"].cls()}
    with pytest.raises(ValueError, match="must give attributions, RandomExamples gives Examples"):
        run({"deaf": Deaf()}, examples)


# --- what is counted ---


def moved(made, minor, disruptive):
    """Return scores that a minor and a disruptive perturbation shift by these numbers."""
    parts = []
    for strength, shift in (("minor", minor), ("disruptive", disruptive)):
        for number in range(3):
            rng = np.random.default_rng(number)
            shifted = {
                name: values + shift + rng.normal(0, 0.001, values.shape)
                for name, values in made.items()
            }
            table = scores.table(shifted)
            parts.append(table.assign(space="network", strength=strength, perturbation=number))
    return pd.concat(parts)


def properties(base, perturbed, is_better=True):
    found = meta_consistency(base, perturbed, {"srg": is_better})
    assert set(found["space"]) == {"network"}
    return found.set_index("property")["value"]


def test_meta_consistency_of_a_good_and_of_a_useless_metric():
    made = scores.made({"a": 3.0, "b": 2.0, "c": 1.0})
    base = scores.table(made)
    good = properties(base, moved(made, 0.0, -0.5))
    useless = properties(base, moved(made, -0.5, 0.0))
    assert good["noise resilience (ranks)"] == good["adversary reactivity (ranks)"] == 1.0
    assert good["adversary reactivity (scores)"] > 0.999
    assert useless["noise resilience (scores)"] < 0.001
    assert good[WHOLE] == pytest.approx(good[list(PARTS)].mean())
    assert good[WHOLE] > 0.8 > 0.6 > useless[WHOLE]

    low = properties(base, moved(made, 0.0, -0.5), is_better=False)
    assert low["adversary reactivity (ranks)"] == 0.0


def test_an_unknown_strength_is_named():
    made = scores.made({"a": 1.0, "b": 0.0})
    bad = moved(made, 0, 0).assign(strength="huge")
    with pytest.raises(ValueError, match=r"perturbed.strength must be one of .*, got \['huge'\]"):
        meta_consistency(scores.table(made), bad, {"srg": True})


# --- the answer ---


def test_the_metric_that_reacts_comes_first():
    made = scores.made({"a": 3.0, "b": 2.0, "c": 1.0})
    base = pd.concat([scores.table(made, metric=name) for name in ("aopc", "srg")])
    table = pd.concat(
        [moved(made, 0.0, -0.5).assign(metric="srg"), moved(made, -0.5, 0.0).assign(metric="aopc")]
    )
    metrics = {name: plugins("metric")[name].cls() for name in ("aopc", "srg")}
    counts = {"n_samples": 24, "n_explained_again": 8}
    found = answer(base, table, plan=MetricTrust(), metrics=metrics, **counts)
    ranking = found.tables["ranking"]
    assert ranking["metric"].tolist() == ["srg", "aopc"]
    assert ranking["value"].tolist() == pytest.approx(ranking["network"].tolist())
    assert ranking["input"].isna().all()
    assert len(found.table) == 2 * 5
    assert "Of 2 metrics, srg does most" in found.sentences
    assert "(figure.svg)" in found.sentences and set(found.drawings) == {"figure"}


# --- the plan ---


def test_a_metric_is_judged_where_it_applies_to_all_methods():
    config = parse(CONFIG)
    digits, shapes = config.networks
    assert set(metrics_on(config, shapes)) == set(CONFIG["metrics"])
    planted = {"pointing_game", "mass_accuracy", "rank_accuracy", "top_iou", "localisation_auc"}
    assert set(CONFIG["metrics"]) - set(metrics_on(config, digits)) == planted


MISTAKES = {
    "perturbations": ({"perturbations": 0}, "metric_trust: perturbations must be at least 1"),
    "sizes": (
        {"network": {"minor": 2.0, "disruptive": 1.0}},
        "metric_trust.network: minor and disruptive must be positive.*got 2.0 and 1.0",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_section_is_named(name):
    change, message = MISTAKES[name]
    with pytest.raises(ConfigError, match=message):
        parse(CONFIG | {"metric_trust": change})


def test_methods_with_a_surrogate_are_refused():
    methods = CONFIG["methods"] | {"gpex_attribution": {"surrogate": "gpex"}}
    with pytest.raises(ConfigError, match="metric_trust: .*gpex_attribution needs gpex"):
        parse(CONFIG | {"methods": methods, "surrogates": {"gpex": None}})

"""The retraining study: removal and trainings re-derived; configs without an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gpex_bench.config import ConfigError, parse
from gpex_bench.studies.retraining.measure import relabel, retrain
from gpex_bench.studies.retraining.plan import Retraining
from gpex_bench.types import Attribution, Explainer
from tests.vocabulary import datasets

PLAN = Retraining(shares=(0.25, 0.5), train_samples=80, test_samples=100, map_samples=20)
TINY = {
    "run": "tiny",
    "seeds": [1, 2],
    "networks": [{"dataset": "breast_cancer", "model": "mlp"}],
    "datasets": {"breast_cancer": None},
    "models": {"mlp": {"wide": 16, "training": {"epochs": 3}}},
    "methods": {"gradient_x_input": None, "random_map": None},
    "retraining": {"shares": [0.2, 0.5], "train_samples": 100, "map_samples": 20, "longest": 4},
}


class Columns(Explainer):
    """Puts the columns in an order of its own."""

    kind, reference = "control", "hooker2019benchmark"
    relative_to = "nothing"

    def __init__(self, order):
        self.order = order

    def explain(self, task, query):
        return Attribution(
            values=torch.tensor(self.order, dtype=torch.float32).repeat(len(query.x), 1)
        )


class Broken(Columns):
    def explain(self, task, query):
        raise RuntimeError("no map today")


@pytest.fixture(scope="module")
def mlp():
    raw = TINY | {
        "models": {
            "mlp": {"wide": 128, "training": {"epochs": 15, "occluded": 0.0, "learning_rate": 0.02}}
        }
    }
    return parse(raw).model("mlp")


@pytest.fixture(scope="module")
def data():
    """Four columns, of which the first alone decides the class."""
    x = torch.randn(400, 4, generator=torch.Generator().manual_seed(3))
    y = (x[:, 0] > 0).long()
    train, test = datasets.split(x[:250], y[:250]), datasets.split(x[250:], y[250:], first=250)
    return datasets.dataset(train, test, classes=2, name="columns")


@pytest.fixture(scope="module")
def found(mlp, data):
    plan = replace(PLAN, fitted=0.9, longest=16)
    return relabel(mlp, data, plan, 1, lambda _: None)


def again(mlp, data, found, explainer):
    networks = {name: model for name, (model, _) in found.items()}
    table = retrain(explainer, networks, mlp, data, plan=PLAN, seed=1, progress=lambda _: None)
    return table.set_index(["measure", "share"])["value"]


def test_permuted_labels_are_fitted_and_do_not_help_with_new_samples(found):
    accuracies = {name: notes for name, (_, notes) in found.items()}
    assert (
        accuracies["permuted"]["train_accuracy"]
        > 0.85
        > 0.65
        > accuracies["permuted"]["test_accuracy"]
    )
    assert accuracies["original"]["test_accuracy"] > 0.9 < accuracies["sibling"]["test_accuracy"]
    assert accuracies["permuted"]["times"] > accuracies["original"]["times"] == 1


def test_removing_the_column_that_decides_leaves_chance_and_keeping_it_leaves_all(mlp, data, found):
    best, worst = (
        again(mlp, data, found, Columns(order)) for order in ([4, 3, 2, 1], [1, 2, 3, 4])
    )
    for share in PLAN.shares:
        assert best["roar", share] < 0.65 < 0.9 < best["kar", share]
        assert worst["kar", share] == best["roar", share] or share == 0.5  # the same column is gone
        assert worst["roar", share] > 0.9
    assert best["roar", 0.25] == worst["kar", 0.25]
    assert best["roar", 0.0] == found["original"][1]["test_accuracy"]
    assert best["masks", 0.5] < 0.65  # the same mask for every sample has no information
    assert best["permuted", 0.0] == best["sibling", 0.0] == 1  # this map looks at no network


def test_masks_that_reveal_the_class_are_found_out(mlp, data, found):
    class Leaky(Columns):
        def explain(self, task, query):
            order = torch.tensor([[1.0, 2, 3, 4], [4, 3, 2, 1]])
            return Attribution(values=order[(query.x[:, 0] > 0).long()])

    assert again(mlp, data, found, Leaky(None))["masks", 0.5] == 1


def test_a_method_that_fails_is_a_row_with_the_reason(mlp, data, found):
    networks = {name: model for name, (model, _) in found.items()}
    table = retrain(
        Broken([1] * 4), networks, mlp, data, plan=PLAN, seed=1, progress=lambda _: None
    )
    assert table[["measure", "reason"]].to_numpy().tolist() == [
        ["failed", "RuntimeError: no map today"]
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"retraining": {"shares": [0.5, 0.2]}}, r"shares must be ascending, got \[0.5, 0.2\]"),
        ({"retraining": {"shares": [0.5, 1.0]}}, "shares must be between 0 and 1"),
        ({"retraining": {"fitted": 0}}, "fitted must be an accuracy"),
        ({"retraining": {"longest": 0}}, "longest must be at least 1, got 0"),
        (
            {"retraining": {"chance": "luck"}},
            r"chance must be the run id of a method \(gradient_x_input, .*'luck'",
        ),
        (
            {"methods": {"random_examples": None, "random_map": None}},
            "attributions without a surrogate",
        ),
        ({"metrics": {"srg": None}}, "metrics: .*retraining"),
    ],
)
def test_configs_without_an_answer_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        parse(TINY | change)

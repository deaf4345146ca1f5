"""The retraining study: removal and trainings re-derived, its numbers on made-up cells, and the workflow on a table."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import stats

from gpex_bench.config import ConfigError, parse
from gpex_bench.studies.retraining.answer import compared, retraining
from gpex_bench.studies.retraining.measure import relabel, retrain
from gpex_bench.studies.retraining.plan import Retraining
from gpex_bench.types import Attribution, Dataset, Explainer, Split
from tests.vocabulary.clone import Clone

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
    parts = [
        Split(x=x[rows], y=y[rows], sample=torch.arange(400)[rows])
        for rows in (slice(250), slice(250, 400))
    ]
    return Dataset(
        name="columns",
        train=parts[0],
        test=parts[1],
        classes=("a", "b"),
        features=tuple("abcd"),
        baseline=torch.zeros(4),
    )


@pytest.fixture(scope="module")
def found(mlp, data):
    plan = replace(PLAN, fitted=0.9, longest=16)
    return relabel(mlp, data, plan, 1, lambda _: None)


def again(mlp, data, found, explainer):
    networks = {name: model for name, (model, _) in found.items()}
    table = retrain(explainer, networks, mlp, data, plan=PLAN, seed=1, progress=lambda _: None)
    return table.set_index(["measure", "share"])["value"]


def test_permuted_labels_are_fitted_and_say_nothing_of_new_samples(found):
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
    assert best["masks", 0.5] < 0.65  # the same mask for every sample tells nothing
    assert best["permuted", 0.0] == best["sibling", 0.0] == 1  # this map looks at no network


def test_masks_that_tell_the_class_are_found_out(mlp, data, found):
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


def made_up():
    """Two methods, three seeds: `good` loses 0.2, 0.3, 0.4 more than random, whatever the share."""
    rows = []
    for seed, loss in ((1, 0.2), (2, 0.3), (3, 0.4)):
        for method, lost, alike in (("good", loss, 0.1 * seed), ("random_map", 0.0, 1.0)):
            for measure, values in (
                ("roar", (0.95, 0.9 - lost, 0.7 - lost)),
                ("kar", (0.95, 0.6 + lost, 0.5 + lost)),
            ):
                rows += [
                    (method, seed, measure, share, v)
                    for share, v in zip((0, 0.25, 0.5), values, strict=True)
                ]
            rows.append((method, seed, "masks", 0.5, 0.5 + lost))
            for measure in ("permuted", "permuted_absolute", "sibling", "sibling_absolute"):
                rows.append(
                    (
                        method,
                        seed,
                        measure,
                        0.0,
                        0.9 if measure[0] == "s" and method == "good" else alike,
                    )
                )
    cells = pd.DataFrame(rows, columns=["method", "seed", "measure", "share", "value"])
    return cells.assign(dataset="table", model="mlp", reason="")


def test_gains_are_paired_differences_with_t_intervals():
    table = compared(made_up(), "random_map").set_index(["measure", "method"])
    losses = np.array([0.2, 0.3, 0.4])
    half = stats.t.ppf(0.975, 2) * losses.std(ddof=1) / np.sqrt(3)
    for measure, mean in (("roar", 0.5), ("kar", 0.85), ("masks", 0.8)):
        row = table.loc[measure, "good"]
        assert row["mean"] == pytest.approx(mean)
        assert row[["gain", "gain_low", "gain_high"]].tolist() == pytest.approx(
            [0.3, 0.3 - half, 0.3 + half]
        )
        assert row["p_value"] == pytest.approx(stats.ttest_1samp(losses, 0).pvalue)
        assert np.isnan(table.loc[measure, "random_map"]["gain"])
    assert table.loc["permuted", "good"]["gain"] == pytest.approx(0.7)
    paired = [stats.ttest_1samp([0.8, 0.7, 0.6], 0).pvalue * 2, 1]  # Holm, with random_map's p of 1
    assert [
        table.loc["permuted", name]["p_value"] for name in ("good", "random_map")
    ] == pytest.approx(paired)


def test_sentences_tell_what_differs_and_what_failed():
    failed = (
        made_up()
        .iloc[:1]
        .assign(method="poor", measure="failed", value=np.nan, reason="no map today")
    )
    networks = pd.DataFrame(
        [("table", "mlp", 1, "permuted", 0.97, 0.5, 4)],
        columns=["dataset", "model", "seed", "network", "train_accuracy", "test_accuracy", "times"],
    )
    found = retraining(pd.concat([made_up(), failed]), networks, PLAN)
    assert "Lost beyond random removal (ROAR): good 0.300 [0.052, 0.548]" in found.sentences
    assert "fits at least 97% of them" in found.sentences
    assert "good 0.20 (0.90), random_map 1.00 (1.00)" in found.sentences
    assert "poor failed (no map today)" in found.sentences
    assert "aimed at" not in found.sentences
    unfitted = retraining(made_up(), networks.assign(train_accuracy=0.8), PLAN)
    assert "That is less than the 95% aimed at" in unfitted.sentences
    assert "poor" not in set(found.tables["table"]["method"])


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
        ({"metrics": {"srg": None}}, "metrics: a retraining study has scores of its own"),
    ],
)
def test_configs_without_an_answer_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        parse(TINY | change)


@pytest.mark.slow
def test_the_workflow_answers_and_another_method_computes_its_own_cells_only(tmp_path):
    clone = Clone(tmp_path)
    for name, methods in (("tiny", {}), ("more", {"sensitivity": None})):
        config = TINY | {"methods": TINY["methods"] | methods}
        (tmp_path / f"config/{name}.yaml").write_text(yaml.safe_dump(config))
    clone.run("--cores", "2", config="config/tiny.yaml")
    folder = tmp_path / "results/tiny/retraining"
    curves = pd.read_csv(folder / "curves.csv")
    assert sorted(set(curves["share"])) == [0, 0.2, 0.5]
    networks = pd.read_csv(folder / "networks.csv")
    assert (
        sorted(set(networks["network"])) == ["original", "permuted", "sibling"]
        and len(networks) == 6
    )
    assert "breast_cancer, mlp: with whole inputs" in (folder / "sentences.md").read_text()
    for ending in ("svg", "png"):
        assert (folder / f"breast_cancer_mlp.{ending}").stat().st_size > 1000
    assert len(json.loads((folder / "table.json").read_text())["inputs"]) == 4 + 6
    assert clone.planned("config/more.yaml") == {"retrain": 2, "retraining": 1, "all": 1}

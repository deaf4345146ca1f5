"""The budget study on a table and few rows: its jobs, its files, a method that cannot pay."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml

from tests.vocabulary.clone import Clone

pytestmark = pytest.mark.slow
TINY = {
    "run": "tiny",
    "seeds": [1],
    "explain": {"samples": 6},
    "networks": [{"dataset": "breast_cancer", "model": "mlp"}],
    "datasets": {"breast_cancer": None},
    "models": {"mlp": {"training": {"epochs": 3}}},
    "methods": {
        "lime_fast": None,
        "elime": {"population": 10},
        "gradient_x_input": None,
        "random_map": None,
    },
    "metrics": {"srg": None},
    "budget": {
        "budgets": [16, 64, 128],
        "most": {"elime": 64},
        "reference_method": "lime_fast",
        "reference_budget": 128,
        "stability_budget": 64,
        "stability_seeds": 3,
        "stability_samples": 4,
    },
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    clone = Clone(tmp_path_factory.mktemp("clone"))
    (clone.folder / "config/tiny.yaml").write_text(yaml.safe_dump(TINY))
    clone.planned_first = clone.planned("config/tiny.yaml")
    clone.output = clone.run("--cores", "2", config="config/tiny.yaml")
    return clone


def table(clone, name):
    return pd.read_csv(clone.folder / f"results/tiny/{name}.csv")


def test_one_job_for_each_method_and_no_report(clone):
    assert clone.planned_first == {"prepare": 1, "train": 1, "spend": 4, "budget": 1, "all": 1}


def test_every_budget_has_a_score_or_a_reason(clone):
    curves = table(clone, "curves").set_index(["method", "budget"])
    tried = {method: curves.loc[method].index.tolist() for method in TINY["methods"]}
    assert tried == {
        "lime_fast": [16, 64, 128],
        "elime": [16, 64],
        "gradient_x_input": [0],
        "random_map": [0],
    }
    poor = curves[curves["status"] != "ok"]
    assert poor.index.tolist() == [("elime", 16)]
    assert poor["mean"].isna().all()
    assert (
        "budget must be at least 20 rows for two generations of 1 x 10 subsets, got 16"
        in poor["reason"].iloc[0]
    )
    assert curves.loc[("lime_fast", 64), "rows"] == 64
    assert curves.loc[("gradient_x_input", 0), "rows"] == 3
    assert curves.loc[("elime", 64), "rows"] <= 64
    assert (curves.loc[("lime_fast", 128), "cpu_seconds"]) > 0


def test_the_answer_names_each_sampled_method(clone):
    needs = table(clone, "table").set_index("method")
    assert sorted(needs.index) == ["elime", "lime_fast"]
    assert needs.loc["lime_fast", "needed"] <= 128
    text = (clone.folder / "results/tiny/sentences.md").read_text()
    assert "For the faithfulness of lime_fast with 128 evaluations" in text
    assert "nan" not in text


def test_stability_is_that_of_methods_that_draw_and_of_controls(clone):
    stability = table(clone, "stability").set_index("method")
    assert sorted(stability.index) == ["elime", "lime_fast", "random_map"]
    assert stability.loc["random_map", "jaccard"] < stability.loc["lime_fast", "jaccard"] <= 1


def test_figures_and_provenance_are_there(clone):
    folder = clone.folder / "results/tiny"
    for figure in ("faithfulness", "stability", "convergence"):
        for ending in ("svg", "png"):
            assert (folder / f"breast_cancer_mlp_{figure}.{ending}").stat().st_size > 1000
    record = json.loads((folder / "table.json").read_text())
    assert len(record["inputs"]) == 4 * 4
    runs = clone.folder / "results/tiny/breast_cancer/mlp/budget/elime/runs.json"
    assert {row["budget"] for row in json.loads(runs.read_text())["cost"]["runs"]} == {64}


def test_another_method_computes_its_own_cells_only(clone):
    more = TINY | {"methods": TINY["methods"] | {"hsic": None}}
    (clone.folder / "config/more.yaml").write_text(yaml.safe_dump(more))
    assert clone.planned("config/more.yaml") == {"spend": 1, "budget": 1, "all": 1}

"""The study on metrics on a table and few samples: its jobs and its files."""

import pandas as pd
import pytest
import yaml

from tests.vocabulary.clone import Clone

pytestmark = pytest.mark.slow
TINY = {
    "run": "tiny",
    "seeds": [1, 2],
    "explain": {"samples": 8, "robustness_samples": 4},
    "networks": [{"dataset": "breast_cancer", "model": "mlp"}],
    "datasets": {"breast_cancer": None},
    "models": {"mlp": {"training": {"epochs": 3}}},
    "methods": {"gradient_x_input": None, "sensitivity": None, "random_map": None},
    "metrics": {"srg": None, "max_sensitivity": None},
    "metric_trust": {"perturbations": 1},
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    clone = Clone(tmp_path_factory.mktemp("clone"))
    (clone.folder / "config/tiny.yaml").write_text(yaml.safe_dump(TINY))
    clone.planned_first = clone.planned("config/tiny.yaml")
    clone.output = clone.run("--cores", "2", config="config/tiny.yaml")
    return clone


def test_one_job_for_each_network_and_no_report(clone):
    jobs = {"prepare": 1, "train": 2, "disturb": 1, "metric_trust": 1, "all": 1}
    assert clone.planned_first == jobs


def test_scores_are_those_of_every_seed_and_metric(clone):
    folder = clone.folder / "results/tiny/breast_cancer/mlp/metric_trust"
    scores = pd.read_parquet(folder / "scores.parquet")
    assert set(scores["seed"]) == {1, 2}
    n_samples = scores.groupby("metric")["sample"].nunique()
    assert n_samples.to_dict() == {"max_sensitivity": 4, "srg": 8}
    perturbed = pd.read_parquet(folder / "perturbed.parquet")
    assert {"network", "input"} == set(perturbed["space"])


def test_the_answer_is_there(clone):
    folder = clone.folder / "results/tiny"
    ranking = pd.read_csv(folder / "ranking.csv")
    assert set(ranking["metric"]) == {"srg", "max_sensitivity"}
    table = pd.read_csv(folder / "table.csv")
    assert table["value"].between(0, 1).all()
    assert "(figure.svg)" in (folder / "sentences.md").read_text()
    assert (folder / "figure.svg").stat().st_size > 1000

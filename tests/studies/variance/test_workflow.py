"""The study on variance on a table and few samples: its jobs and its files."""

import pandas as pd
import pytest
import yaml

from tests.vocabulary.clone import Clone

pytestmark = pytest.mark.slow
TINY = {
    "run": "tiny",
    "seeds": [1, 2],
    "explain": {"samples": 4, "robustness_samples": 2, "fills": []},
    "networks": [
        {"dataset": "breast_cancer", "model": "mlp"},
        {"dataset": "other", "model": "mlp"},
    ],
    "datasets": {"breast_cancer": {"seed": 0}, "other": {"dataset": "breast_cancer", "seed": 1}},
    "models": {"mlp": {"training": {"epochs": 3}}},
    "methods": {
        "lime_fast": {"budget": 64},
        "lime_fast_1": {"method": "reseeded", "of": "lime_fast", "draw": 1},
        "saliency": None,
    },
    "metrics": {"srg": None},
    "variance": {"error": 0.2},
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    clone = Clone(tmp_path_factory.mktemp("clone"))
    (clone.folder / "config/tiny.yaml").write_text(yaml.safe_dump(TINY))
    clone.planned_first = clone.planned("config/tiny.yaml")
    clone.output = clone.run("--cores", "2", config="config/tiny.yaml")
    return clone


def test_it_is_a_run_with_a_report_and_one_job_more(clone):
    cells = {"prepare": 2, "train": 4, "explain": 6, "score": 6}
    ends = {"aggregate": 1, "draw": 1, "report": 1, "variance": 1, "all": 1}
    assert clone.planned_first == cells | ends


def test_every_source_has_a_share(clone):
    folder = clone.folder / "results/tiny"
    table = pd.read_csv(folder / "table.csv")
    assert set(table["dataset"]) == {"breast_cancer"}
    sources = table.groupby("method")["source"].nunique()
    assert sources.to_dict() == {"lime_fast": 5, "saliency": 4}
    assert table.groupby("method")["share"].sum().tolist() == pytest.approx([1, 1], abs=1e-6)
    assert "(breast_cancer_mlp.svg)" in (folder / "sentences.md").read_text()
    assert (folder / "breast_cancer_mlp.svg").stat().st_size > 1000

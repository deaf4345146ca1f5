"""A grid as its users meet it: its jobs, its files, a fit that fails, strict."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml

from tests.vocabulary.clone import Clone

pytestmark = pytest.mark.slow
TINY = {
    "run": "tiny",
    "seeds": [1, 2],
    "strict": True,
    "grid": {
        "question": "What does the learning rate do?",
        "axes": [
            {"name": "rate", "of": "surrogates.gpex.learning_rate", "values": [0.005, 1.0e30]}
        ],
        "x": "rate",
        "log": True,
        "statistics": ["mean_r2", "fit_seconds"],
        "splits": ["test", "mixed"],
    },
    "networks": [{"dataset": "breast_cancer", "model": "mlp", "surrogates": ["gpex"]}],
    "datasets": {"breast_cancer": None},
    "models": {"mlp": {"training": {"epochs": 2}}},
    "surrogates": {"gpex": {"n_steps": 20}},
    "explain": {"samples": 4},
    "headline": "class_purity",
    "methods": {
        "good": {"method": "gpex_neighbours", "surrogate": "gpex_rate0p005"},
        "bad": {"method": "gpex_neighbours", "surrogate": "gpex_rate1e30"},
    },
    "metrics": {"class_purity": None},
}
GOOD, BAD = "gpex_rate0p005", "gpex_rate1e30"
REPORT = {"aggregate": 1, "draw": 1, "report": 1}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Run a grid of which one of two points diverges; strict makes that an error at the end."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    (clone.folder / "config/tiny.yaml").write_text(yaml.safe_dump(TINY))
    clone.planned_first = clone.planned("config/tiny.yaml")
    clone.output = clone.run("--cores", "2", config="config/tiny.yaml", fails=True)
    return clone


def test_one_fit_and_one_comparison_for_each_point_whatever_the_seeds(clone):
    jobs = {"prepare": 1, "train": 2, "fit": 2, "agree": 2, "grid": 1, "strict": 1, "all": 1}
    assert clone.planned_first == jobs | REPORT | {"explain": 2, "score": 2}


def test_the_answer_is_there_although_a_fit_failed(clone):
    folder = clone.folder / "results/tiny"
    figure = {"figure.csv", "figure.png", "figure.svg"}
    files = {path.name for path in folder.iterdir() if path.is_file()}
    assert figure | {"sentences.md", "table.csv", "table.json"} <= files
    table = pd.read_csv(folder / "table.csv")
    assert table.groupby("rate")["n_seeds"].max().tolist() == [2, 0]
    failed = table[(table["rate"] > 1) & (table["statistic"] == "mean_r2")]
    assert failed["mean"].isna().all()
    assert failed["reason"].str.contains("Error: ").all()
    assert f"failed: {failed['reason'].iloc[0]}" in (folder / "sentences.md").read_text()


def test_strict_names_the_failed_fit(clone):
    assert "strict: 4 failed. " in clone.output  # fit and method of each seed
    assert f" breast_cancer mlp 1 {BAD}: " in clone.output


def test_a_method_whose_surrogate_failed_reads_failed_with_the_reason(clone):
    cells = clone.table("cells", "tiny").set_index(["method", "seed"])
    assert (cells.loc["good", "status"] == "ok").all()
    assert (cells.loc["bad", "status"] == "failed").all()
    assert (
        cells.loc["bad", "reason"].str.startswith(f"its surrogate {BAD} is missing (failed: ").all()
    )
    fits = clone.table("surrogates", "tiny").set_index(["surrogate", "seed"])
    assert fits.loc[GOOD, "status"].tolist() == ["ok", "ok"]
    assert fits.loc[BAD, "status"].tolist() == ["failed", "failed"]
    assert set(clone.table("agreement", "tiny")["surrogate"]) == {GOOD}
    report = (clone.folder / "results/tiny/report.html").read_text()
    assert f"its surrogate {BAD} is missing" in report


def test_costs_of_fits_stand_in_the_sidecars_and_beside_the_tables(clone):
    costs = json.loads((clone.folder / "results/tiny/tables/surrogate_costs.json").read_text())
    assert [(row["seed"], row["surrogate"]) for row in costs] == [
        (1, GOOD),
        (1, BAD),
        (2, GOOD),
        (2, BAD),
    ]
    for seed in TINY["seeds"]:
        cell = clone.folder / f"results/tiny/breast_cancer/mlp/seed-{seed}"
        record = json.loads((cell / f"surrogates/{GOOD}.json").read_text())
        assert record["status"] == "ok"
        assert record["cost"]["wall_seconds"] > 0
        assert record["cost"]["peak_bytes"] > 0
        assert len(record["inputs"]) == 2  # the dataset and the network of its own seed
        failed = json.loads((cell / f"surrogates/{BAD}.json").read_text())
        assert failed["status"] == "failed"
        assert "matching.py" in failed["trace"]


def test_another_point_runs_its_own_jobs_only(clone):
    axes = [TINY["grid"]["axes"][0] | {"values": [0.005, 0.01, 1.0e30]}]
    more = TINY | {
        "strict": False,
        "grid": TINY["grid"] | {"axes": axes},
        "methods": {},
        "metrics": {},
    }
    (clone.folder / "config/more.yaml").write_text(yaml.safe_dump(more))
    assert clone.planned("config/more.yaml") == {"fit": 1, "agree": 1, "grid": 1, "all": 1}

"""A data file that changes makes its own dataset and what depends on it again, and nothing else."""

import os

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.vocabulary.clone import Clone

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
CONFIG = "config/own.yaml"
RAW = {
    "run": "own",
    "seeds": [1],
    "headline": "srg",
    "networks": [{"dataset": name, "model": "mlp"} for name in ("points", "survey")],
    "datasets": {
        "points": {"dataset": "arrays", "file": "own/points.npz"},
        "survey": {"dataset": "csv", "file": "own/survey.csv", "target": "rent"},
    },
    "models": {"mlp": {"wide": 8, "training": {"epochs": 1}}},
    "methods": {"gradient_x_input": None},
    "metrics": {"srg": {"output": "logit"}},
}
TARGETS = [f"results/own/{name}/mlp/seed-1/model.safetensors" for name in ("points", "survey")]


def write(folder, shift=0.0):
    """Write both data files; `shift` changes the arrays alone."""
    y = (X[:, 0] > 0).astype(np.int64)
    np.savez(folder / "points.npz", x_train=X + shift, y_train=y, x_test=X[:20], y_test=y[:20])
    table = pd.DataFrame(X, columns=list("abcd")).assign(rent=X.sum(1))
    table.to_csv(folder / "survey.csv", index=False)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    clone = Clone(tmp_path_factory.mktemp("clone"))
    (clone.folder / "own").mkdir()
    write(clone.folder / "own")
    (clone.folder / CONFIG).write_text(yaml.safe_dump(RAW))
    clone.run("--cores", "2", *TARGETS, config=CONFIG)
    return clone


def test_dates_change_nothing(clone):
    for path in (clone.folder / "own").iterdir():
        os.utime(path)
    write(clone.folder / "own")
    assert clone.planned(CONFIG, *TARGETS) == {}


def test_content_makes_the_dataset_and_its_network_again(clone):
    write(clone.folder / "own", shift=0.5)
    assert clone.planned(CONFIG, *TARGETS) == {"prepare": 1, "train": 1}
    assert clone.planned(CONFIG, TARGETS[1]) == {}
    write(clone.folder / "own")
    assert clone.planned(CONFIG, *TARGETS) == {}


def test_no_folder_of_this_machine_is_recorded(clone):
    for path in (clone.folder / "results/own").rglob("*.json"):
        assert str(clone.folder) not in path.read_text(), path
    note = (clone.folder / "results/own/points/data.json").read_text()
    assert "own/points.npz" in note and "whole numbers 0 ... 1 are taken as classes" in note


def test_a_file_that_is_not_there_stops_the_run_at_once(clone):
    (clone.folder / "own/points.npz").rename(clone.folder / "own/other.npz")
    output = clone.run("-n", *TARGETS, config=CONFIG, fails=True)
    assert "datasets.points: file must be" in output and "own/points.npz" in output
    (clone.folder / "own/other.npz").rename(clone.folder / "own/points.npz")

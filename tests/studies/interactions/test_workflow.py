"""The experiment on interactions as its users meet it: its jobs and its files, in a copy of the tree."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from tests.vocabulary.clone import Clone

pytestmark = pytest.mark.slow
TRAINING = {"epochs": 4, "batch_size": 20, "shift": 0, "occluded": 0.0}
TINY = {
    "run": "tiny_interactions",
    "seeds": [1],
    "networks": [
        {"dataset": "shapes", "model": model} for model in ("bagnet", "vgg", "vgg_robust")
    ],
    "datasets": {"shapes": {"n_train": 200, "n_test": 100, "n_classes": 2}},
    "models": {
        "bagnet": {"width": 4, "wide": 16, "training": TRAINING},
        "vgg": {"width": 4, "wide": 16, "training": TRAINING},
        "vgg_robust": {
            "model": "vgg",
            "width": 4,
            "wide": 16,
            "training": TRAINING | {"adversarial": 0.002},
        },
    },
    "interactions": {
        "ladder": ["bagnet", "vgg"],
        "twins": [["vgg_robust", "vgg"]],
        "images": 4,
        "points": 4,
        "sides": 1,
    },
}


def test_the_answer_and_its_files_are_there(tmp_path):
    clone = Clone(tmp_path)
    (clone.folder / "config/tiny.yaml").write_text(yaml.safe_dump(TINY))
    assert clone.planned("config/tiny.yaml") == {
        "prepare": 1,
        "train": 3,
        "decompose": 3,
        "interactions": 1,
        "all": 1,
    }
    clone.run("--cores", "2", config="config/tiny.yaml")
    folder = clone.folder / "results/tiny_interactions/interactions"
    names = [
        "changes.csv",
        "choices.csv",
        "networks.csv",
        "sentences.md",
        "shapes.csv",
        "shapes.png",
        "shapes.svg",
    ]
    assert sorted(path.name for path in folder.glob("*.*")) == [*names, "table.csv", "table.json"]
    table, changes = (pd.read_csv(folder / f"{name}.csv") for name in ("table", "changes"))
    assert len(table) == (8 * 2 + 4) * 3 and len(changes) == 8 * 2 * 2
    assert (changes["change"] == "not told").all()  # one seed tells nothing
    assert (
        "bagnet → vgg: the interaction share shows no clear change under all 8"
        in (folder / "sentences.md").read_text()
    )
    networks = pd.read_csv(folder / "networks.csv")
    assert (networks["n_images"] == 4).all() and (networks["n_attacked"] == 100).all()
    assert (networks["attack_radius"] == 0.002).all()  # of the twin's training
    assert (networks["attacked_accuracy"] <= networks["test_accuracy"]).all()
    assert clone.planned("config/tiny.yaml") == {}

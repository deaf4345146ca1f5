"""Networks that were given and networks that are trained, in one run with two seeds."""

import pytest
import torch
import yaml
from torch import nn

from tests.vocabulary.clone import Clone

pytestmark = pytest.mark.slow

NETWORKS = """
from torch import nn

from parts import relu


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(30, 12)
        self.last = nn.Linear(12, 2)

    def forward(self, x):
        return self.last(relu(self.first(x)))
"""
MIXED = {
    "run": "mixed",
    "seeds": [1, 2],
    "headline": "srg",
    "explain": {"samples": 6, "robustness_samples": 2, "fills": [], "timeout_s": 120},
    "networks": [
        {"dataset": "breast_cancer", "model": name, "surrogates": ["last_layer"]}
        for name in ("mine", "mlp")
    ],
    "datasets": {"breast_cancer": None},
    "models": {
        "mine": {"model": "pretrained", "build": "nets.py:Net", "weights": "weights.pt"},
        "mlp": {"wide": 16, "training": {"epochs": 2}},
    },
    "surrogates": {"last_layer": None},
    "methods": {"gradient_x_input": None, "random_map": None},
    "metrics": {"srg": None},
}
AGAIN = {
    **dict.fromkeys(["train", "fit_given", "agree_given", "aggregate", "draw", "report", "all"], 1),
    **dict.fromkeys(["explain_given", "score_given"], 2),
}


def save_weights(path, seed):
    torch.manual_seed(seed)
    first, last = nn.Linear(30, 12), nn.Linear(12, 2)
    layers = nn.ModuleDict({"first": first, "last": last})
    torch.save(layers.state_dict(), path)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    clone = Clone(tmp_path_factory.mktemp("given"))
    (clone.folder / "nets.py").write_text(NETWORKS)
    (clone.folder / "parts.py").write_text("from torch.nn.functional import relu\n")
    (clone.folder / "mixed.yaml").write_text(yaml.safe_dump(MIXED))
    save_weights(clone.folder / "weights.pt", 0)
    clone.run("--cores", "1", config="mixed.yaml")
    return clone


def test_a_given_network_is_one_cell_whatever_the_seeds(clone):
    places = clone.folder / "results/mixed/breast_cancer"
    assert sorted(path.name for path in (places / "mine").iterdir()) == ["seed-1"]
    assert sorted(path.name for path in (places / "mlp").iterdir()) == ["seed-1", "seed-2"]

    outcomes = clone.table("outcomes", "mixed").set_index("model")
    assert (outcomes.loc["mine", ["n_seeds", "n_seeds_planned"]] == 1).all(axis=None)
    assert (outcomes.loc["mlp", "n_seeds"] == 2).all()
    assert outcomes.loc["mine", "seed_sd"].isna().all()

    summary = (clone.folder / "results/mixed/summary.md").read_text()
    assert "2 trained networks (2 training seeds) and 1 given, not trained" in summary
    assert "given, not trained" in (clone.folder / "results/mixed/report.html").read_text()


def test_other_weights_run_again_what_depends_on_them_and_nothing_else(clone):
    assert clone.planned("mixed.yaml") == {}
    save_weights(clone.folder / "weights.pt", 1)
    assert clone.planned("mixed.yaml") == AGAIN
    save_weights(clone.folder / "weights.pt", 0)
    assert clone.planned("mixed.yaml") == {}

    (clone.folder / "parts.py").write_text("from torch import tanh as relu\n")
    assert clone.planned("mixed.yaml") == AGAIN

"""Networks that were brought along, in a config: their key, their one cell, and who refuses them."""

import pytest

from gpex_bench import config
from gpex_bench.config.resolve import ConfigError
from tests.vocabulary.quick import QUICK

MINE = {"model": "pretrained", "build": "nets.py:Net", "weights": "weights.pt"}
RAW = {
    "run": "mixed",
    "seeds": [1, 2, 3],
    "headline": "srg",
    "networks": [{"dataset": "breast_cancer", "model": name} for name in ("mine", "mlp")],
    "datasets": {"breast_cancer": None},
    "models": {"mine": MINE, "mlp": None},
    "methods": {"saliency": None},
    "metrics": {"srg": None},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("nets.py", "weights.pt"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


def with_mine(**changes):
    return RAW | {"models": {"mine": {**MINE, **changes}, "mlp": None}}


@pytest.mark.usefixtures("folder")
def test_a_given_network_has_one_seed_and_takes_tables_and_images():
    parsed = config.parse(RAW)
    assert parsed.seeds_of("mine") == (1,)
    assert parsed.seeds_of("mlp") == (1, 2, 3)
    assert parsed.model("mine").build_by == "nets.py:Net"
    shapes = RAW | {
        "networks": [{"dataset": "shapes", "model": "mine"}],
        "datasets": {"shapes": None},
    }
    assert config.parse(shapes).networks[0].model == "mine"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "raw, words",
    [
        (RAW | {"models": {"mine": {"model": "pretrained"}}}, "models.mine.build: .* required"),
        (with_mine(build="nets.py"), "models.mine: build must be file.py:"),
        (with_mine(build_by="x.py:y"), "models.mine.build_by: unknown parameter"),
        (with_mine(weights="w.pt"), "w.pt"),
        (with_mine(normalise={"mean": 1}), "models.mine: normalise must have"),
        (with_mine(arguments=3), "models.mine.arguments: "),
    ],
)
def test_a_wrong_entry_is_refused_by_key(raw, words):
    with pytest.raises(ConfigError, match=words):
        config.parse(raw)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("study", ["retraining", "debugging", "variance", "interactions"])
def test_studies_that_train_networks_refuse_one_that_is_given(study):
    raw = {"run": "quick", **QUICK[study]}
    first = raw["networks"][0]["model"]
    raw["models"] = {**raw["models"], first: MINE}
    with pytest.raises(ConfigError, match=rf"networks.0.model: the study {study} .*not trained"):
        config.parse(raw)

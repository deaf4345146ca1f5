"""The whole study on blobs, with a network that trains in a moment; its section in a config."""

from pathlib import Path

import pytest
import yaml

from gpex_bench.config import ConfigError, parse
from gpex_bench.studies.debugging.measure import measure_curves
from gpex_bench.studies.debugging.plan import RANKINGS, Debugging
from gpex_bench.types import Progress

ROOT = Path(__file__).parents[3]
CONFIG = yaml.safe_load((ROOT / "config/studies/debugging.yaml").read_text())


@pytest.mark.slow
def test_all_rankings_start_alike_and_repeat(made, unchecked):
    from gpex_bench.models.mlp import Mlp, MlpTraining

    data = made.blobs(n_train=120, n_test=90)
    architecture = Mlp(wide=16, training=MlpTraining(epochs=6, occluded=0.0))
    trained = []

    class Counted:
        def train(self, data, seed, progress):
            trained.append(data)
            return architecture.train(data, seed, progress)

    plan = Debugging(classes=("left", "right"), per_round=8, rounds=3)

    def curves(architecture, seed):
        progress = Progress()
        return measure_curves(architecture, {}, data, plan=plan, seed=seed, progress=progress)

    found = curves(Counted(), 3)
    assert len(trained) == 1 + 3 * len(RANKINGS)  # the first training is common
    start = found[found.shown == 0]
    assert list(start.ranking) == list(RANKINGS) and start.accuracy.nunique() == 1
    assert (found.n_train == 80).all() and found.found.between(0, 1).all()
    assert found.equals(curves(architecture, 3))
    assert not found.equals(curves(architecture, 4))


def test_a_surrogate_must_not_have_the_name_of_a_ranking(made, unchecked):
    plan = Debugging(classes=("left", "right"))
    with pytest.raises(ValueError, match="The surrogate 'random' has the name of a ranking"):
        measure_curves(None, {"random": None}, made.blobs(), plan=plan, seed=0, progress=Progress())


def test_the_config_is_read():
    config = parse(CONFIG)
    assert config.study == Debugging(classes=("4", "9"), per_round=72, rounds=5)
    assert not config.entries["method"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounds": 0}, "debugging: rounds must be at least 1, got 0"),
        ({"turns": 2}, "debugging.turns: unknown parameter 'turns'"),
        ({"flipped": 0.5}, r"debugging: flipped must be a share in \(0, 0.5\), got 0.5"),
        (
            {"rankings": ["luck"]},
            "debugging: rankings must be among embedding, representer, influence, random",
        ),
        ({"classes": ["4"]}, "debugging.classes"),
    ],
)
def test_bad_sections_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        parse(CONFIG | {"debugging": CONFIG["debugging"] | change})


def test_a_section_without_classes_is_refused():
    with pytest.raises(
        ConfigError, match="debugging.classes: this parameter is required and missing"
    ):
        parse(CONFIG | {"debugging": {}})
    clash = {
        "surrogates": {"random": {"surrogate": "gpex"}},
        "networks": [{**CONFIG["networks"][0], "surrogates": ["random"]}],
    }
    with pytest.raises(
        ConfigError, match="networks.0.surrogates: 'random' is a ranking of debugging; rename one"
    ):
        parse(CONFIG | clash)


def test_every_key_is_documented():
    text = (ROOT / "config/README.md").read_text()
    for name in Debugging.__dataclass_fields__:
        assert f"| `{name}` |" in text, name

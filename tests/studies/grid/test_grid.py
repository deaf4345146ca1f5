"""The study section: run ids by rule, settings in their place, and mistakes named with what is known."""

from pathlib import Path

import pytest
import yaml

from gpex_bench import config
from gpex_bench.studies.grid import plan

ROOT = Path(__file__).parents[3]


def raw(**study):
    return {
        "run": "t",
        "seeds": [1, 2],
        "datasets": {"breast_cancer": None},
        "models": {"mlp": {"wide": 32, "training": {"epochs": 2}}},
        "surrogates": {"gpex": {"n_steps": 5}, "other": {"surrogate": "gpex", "norm": 0.1}},
        "networks": [{"dataset": "breast_cancer", "model": "mlp", "surrogates": ["gpex"]}],
        "study": {"question": "Why?", "x": "d", "statistics": ["mean_r2"], "axes": [], **study},
    }


D = {"name": "d", "of": "surrogates.gpex.dim", "values": [2, 8]}
START = {
    "name": "start",
    "of": "surrogates.gpex",
    "points": {"full": None, "bare": {"norm": 0.5, "held_out": 0.2}},
}
EPOCHS = {"name": "epochs", "of": "models.mlp.training.epochs", "values": [1, 3]}


def test_run_ids_and_settings_follow_the_rule():
    parsed = config.parse(raw(axes=[D, START], hue="start"))
    assert list(parsed.entries["surrogate"]) == [
        "gpex_d2_full",
        "gpex_d2_bare",
        "gpex_d8_full",
        "gpex_d8_bare",
        "other",
    ]
    assert parsed.networks[0].surrogates == (
        "gpex_d2_full",
        "gpex_d2_bare",
        "gpex_d8_full",
        "gpex_d8_bare",
    )
    bare = parsed.surrogate("gpex_d8_bare")
    assert (bare.dim, bare.norm, bare.held_out, bare.n_steps) == (8, 0.5, 0.2, 5)
    assert parsed.entry("surrogate", "gpex_d8_bare").plugin.name == "gpex"
    assert [point.labels["d"] for point in parsed.grid] == [2, 2, 8, 8]
    assert parsed.grid[1].labels == {
        "dataset": "breast_cancer", "model": "mlp", "surrogate": "gpex", "d": 2, "start": "bare"
    }  # fmt: skip


def test_axes_of_networks_multiply_and_keep_what_is_written_beside_them():
    parsed = config.parse(raw(axes=[EPOCHS, D], hue="epochs"))
    assert [network.model for network in parsed.networks] == ["mlp_epochs1", "mlp_epochs3"]
    assert len(parsed.grid) == 4
    model = parsed.model("mlp_epochs3")
    assert (model.wide, model.training.epochs) == (32, 3)


def test_a_surrogate_can_be_what_is_compared():
    networks = [{"dataset": "breast_cancer", "model": "mlp", "surrogates": ["gpex", "other"]}]
    parsed = config.parse(raw(x="surrogate") | {"networks": networks})
    assert [point.surrogate for point in parsed.grid] == ["gpex", "other"]


@pytest.mark.parametrize(
    ("value", "word"),
    [(0.01, "0p01"), (-1, "m1"), (1e-5, "1em05"), (True, "true"), (None, "none"), ("Ab c", "ab_c")],
)
def test_values_become_parts_of_run_ids(value, word):
    assert plan._word(value) == word


MISTAKES = {
    "unknown key": ({"axis": []}, r"study\.axis: unknown key 'axis'\. Did you mean 'axes'"),
    "unknown key of an axis": (
        {"axes": [D | {"value": 3}]},
        r"study\.axes\.0\.value: .*Did you mean 'values'",
    ),
    "unknown section": (
        {"axes": [D | {"of": "surrogate.gpex.dim"}]},
        r"study\.axes\.0\.of: unknown section 'surrogate'\. Did you mean 'surrogates'.*Known: datasets, models",
    ),
    "unknown entry": (
        {"axes": [D | {"of": "surrogates.gepx.dim"}]},
        r"study\.axes\.0\.of: unknown run id of a surrogate 'gepx'\. Did you mean 'gpex'",
    ),
    "unknown parameter": (
        {"axes": [D | {"of": "surrogates.gpex.dims"}]},
        r"study\.axes: surrogates\.gpex_d2\.dims: unknown parameter 'dims'\. Did you mean 'dim'\? Known: .*held_out",
    ),
    "parameter out of range": (
        {"axes": [D | {"values": [2, 0]}]},
        r"study\.axes: surrogates\.gpex_d0: dim must be",
    ),
    "neither values nor points": (
        {"axes": [D | {"values": []}]},
        r"study\.axes\.0: give either values .* or points",
    ),
    "values of nothing": (
        {"axes": [D | {"of": "surrogates.gpex"}]},
        r"study\.axes\.0\.of: values need a hyperparameter, such as surrogates\.gpex\.seed",
    ),
    "name of a column": (
        {"axes": [D | {"name": "model"}]},
        r"study\.axes\.0\.name: 'model' is a column of its own",
    ),
    "unknown x": ({"axes": [D], "x": "dd"}, r"study\.x: unknown axis 'dd'\. Did you mean 'd'"),
    "unknown hue": (
        {"axes": [D], "hue": "e"},
        r"study\.hue: unknown axis 'e'.*Known: d, dataset, model, surrogate",
    ),
    "logarithm of names": (
        {"axes": [START], "x": "start", "log": True},
        r"study\.log: needs positive numbers along x",
    ),
    "logarithm of zero": (
        {"axes": [D | {"values": [0, 1]}], "log": True},
        r"study\.log: needs positive numbers",
    ),
    "one place for two": (
        {"axes": [D, START]},
        r"study\.hue: .*gpex_d2_full and .*gpex_d2_bare would stand at",
    ),
    "one id for two": (
        {"axes": [D | {"values": [2, 2.0]}]},
        r"two points of surrogates have the run id 'gpex_d2'",
    ),
    "no statistic": ({"axes": [D], "statistics": []}, r"study\.statistics: .*at least 1"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name):
    change, message = MISTAKES[name]
    with pytest.raises(config.ConfigError, match=message):
        config.parse(raw(**change))


def test_a_network_of_a_study_names_entries_as_written():
    networks = [{"dataset": "breast_cancer", "model": "mlp", "surrogates": ["gpex_d2"]}]
    with pytest.raises(
        config.ConfigError, match=r"networks\.0\.surrogate: unknown .*'gpex_d2'.*Known: gpex, other"
    ):
        config.parse(raw(axes=[D]) | {"networks": networks})


def test_a_study_needs_a_surrogate():
    with pytest.raises(config.ConfigError, match="name a surrogate for at least one"):
        config.parse(raw(axes=[D]) | {"networks": [{"dataset": "breast_cancer", "model": "mlp"}]})


def test_only_a_study_does_without_methods_and_metrics():
    written = raw(axes=[D])
    del written["study"]
    with pytest.raises(
        config.ConfigError, match="methods: at least 1 is needed, got none; only a study"
    ):
        config.parse(written)
    with pytest.raises(config.ConfigError, match="metrics: at least 1 is needed"):
        config.parse(raw(axes=[D]) | {"methods": {"random_map": None}})


def test_every_key_is_documented():
    text = (ROOT / "config/README.md").read_text()
    for model in (plan.Study, plan.Axis):
        for key in model.model_fields:
            assert f"`{key}`" in text or f"`study.{key}`" in text, key


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config/studies").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_studies_that_ship_pass(path):
    parsed = config.load(path)
    others = {"debugging", "budget", "interactions", "retraining"}
    written = yaml.safe_load(path.read_text())
    assert parsed.run == (f"study_{path.stem}" if "study" in written else path.stem)
    assert "study" in written or others & set(written) or written["methods"]

"""The section `grid`: run ids, settings in their place, and mistakes that are named."""

from dataclasses import fields

import pytest

from gpex_bench import config
from gpex_bench.plugins.registry import ROOT, study_names
from gpex_bench.studies.grid import expansion
from gpex_bench.studies.grid.plan import Grid


def raw(**study):
    return {
        "run": "t",
        "seeds": [1, 2],
        "datasets": {"breast_cancer": None},
        "models": {"mlp": {"wide": 32, "training": {"epochs": 2}}},
        "surrogates": {"gpex": {"n_steps": 5}, "other": {"surrogate": "gpex", "norm": 0.1}},
        "networks": [{"dataset": "breast_cancer", "model": "mlp", "surrogates": ["gpex"]}],
        "grid": {"question": "Why?", "x": "d", "statistics": ["mean_r2"], "axes": [], **study},
    }


def places(parsed):
    return parsed.study.places(parsed.written_sections, parsed.written_networks)


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
    assert [point.labels["d"] for point in places(parsed)] == [2, 2, 8, 8]
    assert places(parsed)[1].labels == {
        "dataset": "breast_cancer", "model": "mlp", "surrogate": "gpex", "d": 2, "start": "bare"
    }  # fmt: skip


def test_axes_of_networks_multiply_and_keep_what_is_written_beside_them():
    parsed = config.parse(raw(axes=[EPOCHS, D], hue="epochs"))
    assert [network.model for network in parsed.networks] == ["mlp_epochs1", "mlp_epochs3"]
    assert len(places(parsed)) == 4
    model = parsed.model("mlp_epochs3")
    assert (model.wide, model.training.epochs) == (32, 3)


def test_a_surrogate_can_be_what_is_compared():
    networks = [{"dataset": "breast_cancer", "model": "mlp", "surrogates": ["gpex", "other"]}]
    parsed = config.parse(raw(x="surrogate") | {"networks": networks})
    assert [point.surrogate for point in places(parsed)] == ["gpex", "other"]


@pytest.mark.parametrize(
    ("value", "word"),
    [(0.01, "0p01"), (-1, "m1"), (1e-5, "1em05"), (True, "true"), (None, "none"), ("Ab c", "ab_c")],
)
def test_values_become_parts_of_run_ids(value, word):
    assert expansion._word(value) == word


MISTAKES = {
    "unknown key": ({"axis": []}, r"grid\.axis: unknown parameter 'axis'\. Did you mean 'axes'"),
    "unknown key of an axis": (
        {"axes": [D | {"value": 3}]},
        r"grid\.axes\.0\.value: .*, got 3",
    ),
    "unknown section": (
        {"axes": [D | {"of": "surrogate.gpex.dim"}]},
        r"grid\.axes\.0\.of: unknown section 'surrogate'\. Did you mean 'surrogates'.*Known: data",
    ),
    "unknown entry": (
        {"axes": [D | {"of": "surrogates.gepx.dim"}]},
        r"grid\.axes\.0\.of: unknown run id of a surrogate 'gepx'\. Did you mean 'gpex'",
    ),
    "unknown parameter": (
        {"axes": [D | {"of": "surrogates.gpex.dims"}]},
        r"grid: surrogates\.gpex_d2\.dims: unknown parameter 'dims'\. Did you mean 'dim'\?",
    ),
    "parameter out of range": (
        {"axes": [D | {"values": [2, 0]}]},
        r"grid: surrogates\.gpex_d0: dim must be",
    ),
    "neither values nor points": (
        {"axes": [D | {"values": []}]},
        r"grid\.axes\.0: give either values .* or points",
    ),
    "values of nothing": (
        {"axes": [D | {"of": "surrogates.gpex"}]},
        r"grid\.axes\.0\.of: values need a hyperparameter, such as surrogates\.gpex\.seed",
    ),
    "name of a column": (
        {"axes": [D | {"name": "model"}]},
        r"grid\.axes\.0\.name: 'model' is",
    ),
    "unknown x": ({"axes": [D], "x": "dd"}, r"grid\.x: unknown axis 'dd'\. Did you mean 'd'"),
    "unknown hue": (
        {"axes": [D], "hue": "e"},
        r"grid\.hue: unknown axis 'e'.*Known: d, dataset, model, surrogate",
    ),
    "logarithm of names": (
        {"axes": [START], "x": "start", "log": True},
        r"grid\.log: needs positive numbers along x",
    ),
    "logarithm of zero": (
        {"axes": [D | {"of": "surrogates.gpex.perturbation", "values": [0, 1]}], "log": True},
        r"grid\.log: needs positive numbers",
    ),
    "one place for two": (
        {"axes": [D, START]},
        r"grid\.hue: .*gpex_d2_full and .*gpex_d2_bare would have the same place",
    ),
    "one id for two": (
        {"axes": [D | {"values": [2, 2.0]}]},
        r"run ids of surrogates must be distinct, got 'gpex_d2'",
    ),
    "no statistic": ({"axes": [D], "statistics": []}, "grid: statistics must hold at least 1"),
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
    del written["grid"]
    with pytest.raises(
        config.ConfigError, match="methods: at least 1 is needed, got none; only some studies"
    ):
        config.parse(written)
    with pytest.raises(config.ConfigError, match="metrics: at least 1 is needed"):
        config.parse(raw(axes=[D]) | {"methods": {"random_map": None}})


def test_every_key_is_documented():
    text = (ROOT / "config/README.md").read_text()
    for kind in (Grid, expansion.Axis):
        for field in fields(kind):
            assert f"`{field.name}`" in text or f"`grid.{field.name}`" in text, field.name


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config/studies").glob("*.yaml")), ids=lambda path: path.stem
)
def test_the_studies_that_ship_pass(path):
    parsed = config.load(path)
    assert parsed.study_name in study_names()
    assert parsed.run == (f"study_{path.stem}" if parsed.study_name == "grid" else path.stem)

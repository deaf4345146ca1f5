"""Every mistake in a config is answered with the key, the value and what is known."""

from pathlib import Path

import pytest
import yaml

from gpex_bench import config
from gpex_bench.plugins import registry

ROOT = Path(__file__).parents[2]


@pytest.fixture
def raw():
    return yaml.safe_load((ROOT / "config/default.yaml").read_text())


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name
)
def test_every_config_passes(path):
    config.load(path)


def test_entries_become_objects(raw):
    raw["methods"]["ig_5"] = {"method": "integrated_gradients", "budget": 5}
    parsed = config.parse(raw)
    assert parsed.method("ig_5").budget == 5
    assert parsed.entry("method", "ig_5").plugin.name == "integrated_gradients"


def test_a_wrapper_gets_the_method_it_names_and_its_sources(raw):
    entry = config.parse(raw).entry("method", "inverted_gradients")
    assert entry.settings.of == config.parse(raw).method("gradient_x_input")
    assert [path.name for path in entry.sources] == ["inverted.py", "gradient_x_input.py"]


def change(raw, path, value):
    *folders, last = path
    for key in folders:
        if raw[key] is None:
            raw[key] = {}
        raw = raw[key]
    if value is None:
        del raw[last]
    else:
        raw[last] = value


MISTAKES = {
    "unknown key": (("seed",), [1], r"seed: unknown key 'seed'\. Did you mean 'seeds'\?"),
    "misspelt study": (("budgte",), {}, r"budgte: unknown key 'budgte'\. Did you mean 'budget'\?"),
    "unknown nested key": (
        ("explain", "sample"),
        3,
        r"explain\.sample: unknown key 'sample'\. Did you mean 'samples'",
    ),
    "key of an older version": (
        ("explain", "fill_samples"),
        12,
        r"explain\.fill_samples: this key is gone; remove it: .* all `samples`\.",
    ),
    "missing key": (("seeds",), None, r"seeds: this key is required"),
    "wrong type": (("explain", "samples"), "many", r"explain\.samples: .*integer.*'many'"),
    "out of range": (
        ("explain", "samples"),
        0,
        r"explain\.samples: .*greater than or equal to 1, got 0",
    ),
    "seed twice": (("seeds",), [1, 1], r"seeds .*\[1, 1\]"),
    "no seed": (("seeds",), [], r"seeds: .*at least 1"),
    "bad run id": (("run",), "My Run", r"run: .*pattern.*'My Run'"),
    "unknown method": (
        ("methods", "lrpp"),
        {},
        r"methods\.lrpp: unknown method 'lrpp'\. Did you mean 'lrp'",
    ),
    "unknown plug-in of a variant": (
        ("methods", "ig"),
        {"method": "integrated_gradient"},
        r"methods\.ig: unknown method 'integrated_gradient'\. Did you mean 'integrated_gradients'",
    ),
    "misspelt parameter": (
        ("methods", "integrated_gradients"),
        {"budgt": 3},
        r"methods\.integrated_gradients\.budgt: unknown parameter 'budgt'\. Did you mean 'budget'",
    ),
    "parameter of the wrong type": (
        ("methods", "integrated_gradients"),
        {"budget": "ten"},
        r"methods\.integrated_gradients\.budget: .*'ten'",
    ),
    "parameter out of range": (
        ("methods", "integrated_gradients"),
        {"budget": 0},
        r"methods\.integrated_gradients: budget must be at least 2, got 0",
    ),
    "wrapper without a method": (
        ("methods", "inverted_gradients"),
        {"method": "inverted"},
        r"\.of: .*required",
    ),
    "wrapper of nothing": (
        ("methods", "inverted_gradients"),
        {"method": "inverted", "of": "nothing"},
        r"methods\.inverted_gradients\.of: unknown run id of a method 'nothing'",
    ),
    "wrapper of itself": (
        ("methods", "inverted_gradients"),
        {"method": "inverted", "of": "inverted_gradients"},
        r"'inverted_gradients' wraps itself",
    ),
    "unknown dataset": (("datasets", "emnist"), {}, r"datasets\.emnist: unknown dataset 'emnist'"),
    "network of an unlisted dataset": (
        ("networks",),
        [{"dataset": "mnist", "model": "cnn"}],
        r"networks\.0\.dataset: unknown run id of a dataset 'mnist'",
    ),
    "network of the wrong kind": (
        ("networks",),
        [{"dataset": "breast_cancer", "model": "cnn"}],
        r"networks\.0: model cnn .*image.* breast_cancer",
    ),
    "network twice": (
        ("networks",),
        [{"dataset": "mnist5k", "model": "cnn"}] * 2,
        r"networks\.1: cnn on mnist5k",
    ),
    "misspelt surrogate of a method": (
        ("methods", "gpex_neighbours"),
        {"surrogate": "gepx"},
        r"methods\.gpex_neighbours\.surrogate: unknown run id of a surrogate 'gepx'\. Did you mean 'gpex'",
    ),
    "unlisted headline": (
        ("headline",),
        "mprt_smooth",
        r"headline: unknown run id of a metric 'mprt_smooth'",
    ),
    "unlisted surrogate": (
        ("networks",),
        [{"dataset": "mnist5k", "model": "cnn", "surrogates": ["deep_gp"]}],
        r"unknown run id of a surrogate 'deep_gp'",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(raw, name):
    path, value, message = MISTAKES[name]
    change(raw, path, value)
    with pytest.raises(config.ConfigError, match=message):
        config.parse(raw)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(config.ConfigError, match="cannot be read"):
        config.load(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("a: [")
    with pytest.raises(config.ConfigError, match="is not YAML"):
        config.load(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("- a")
    with pytest.raises(config.ConfigError, match="must be a mapping"):
        config.load(tmp_path / "b.yaml")


def test_applicability_is_known_before_anything_runs(raw):
    parsed = config.parse(raw)
    networks = {(network.dataset, network.model): network for network in parsed.networks}
    digits = networks["mnist5k", "cnn"]
    table = networks["breast_cancer", "mlp"]
    shapes = networks["shapes", "resnet"]
    assert parsed.not_applicable(table, "edge_detector") == "needs image"
    assert parsed.not_applicable(digits, "oracle") == "needs truth"
    assert parsed.not_applicable(digits, "inverted_oracle") == "needs truth"
    assert parsed.not_applicable(shapes, "oracle") is None
    assert (
        parsed.not_applicable(digits.model_copy(update={"surrogates": ()}), "gpex_neighbours")
        == "needs surrogate gpex"
    )
    assert parsed.skipped(digits, "lrp", "class_purity") == "scores examples, not attribution"
    assert parsed.skipped(digits, "lrp", "mass_accuracy") == "needs truth"
    assert parsed.skipped(shapes, "lrp", "mass_accuracy") is None
    assert parsed.skipped(shapes, "lrp", "conservation_error") is None
    assert parsed.skipped(shapes, "oracle", "conservation_error") == "needs residual"


def test_a_surrogate_has_nothing_to_say_of_other_networks(raw):
    raw["metrics"] |= {"mprt": None, "random_logit": None, "dummy_error": None}
    parsed = config.parse(raw)
    shapes = next(network for network in parsed.networks if network.dataset == "shapes")
    for metric in ("mprt", "dummy_error"):
        reason = "explains other networks, and gpex is fitted to this one"
        assert parsed.skipped(shapes, "gpex_attribution", metric) == reason
        assert parsed.skipped(shapes, "lrp", metric) is None
    assert parsed.skipped(shapes, "gpex_attribution", "random_logit") is None


def test_a_surrogate_of_classes_does_not_stand_in_for_an_attention(raw):
    config.parse(raw)
    raw["surrogates"]["laplace"] = None
    raw["networks"][-1]["surrogates"].append("laplace")
    last = len(raw["networks"]) - 1
    with pytest.raises(
        config.ConfigError,
        match=rf"networks\.{last}\.surrogates: laplace .*logits.*attention",
    ):
        config.parse(raw)


def test_surrogates_of_an_attention_do_not_explain_classes(raw):
    parsed = config.parse(raw)
    attention = parsed.networks[-1]
    assert parsed.model(attention.model).explained == "attention" and "gpex" in attention.surrogates
    for method in ("gpex_neighbours", "gpex_attribution"):
        assert (
            parsed.not_applicable(attention, method)
            == "gpex stands in for the attention, not for the class scores"
        )
    without = attention.model_copy(update={"surrogates": ()})
    assert parsed.not_applicable(without, "gpex_neighbours") == "needs surrogate gpex"
    for method in ("integrated_gradients", "lime", "random_examples", "lrp"):
        assert parsed.not_applicable(attention, method) is None


def test_every_config_key_is_documented():
    text = (ROOT / "config/README.md").read_text()
    for model in (config.Layout, config.Network, config.Explain):
        for key in model.model_fields:
            assert f"`{key}`" in text, key
    for name in registry.plugins("dataset"):
        assert name in text


MIXED = {
    "run": "mixed",
    "seeds": [1],
    "headline": "srg_value",
    "networks": [
        {"dataset": "diabetes", "model": "mlp"},
        {"dataset": "breast_cancer", "model": "one"},
        {"dataset": "wine", "model": "mlp"},
    ],
    "datasets": {"diabetes": None, "breast_cancer": None, "wine": None},
    "models": {"mlp": None, "one": {"model": "mlp", "one_logit": True}},
    "methods": {"gradient_x_input": None, "elime": None, "lime_fast": None},
    "metrics": {
        "srg": None,
        "srg_value": {"metric": "srg", "output": "logit"},
        "random_logit": None,
        "infidelity": None,
    },
}


def test_what_applies_depends_on_what_the_network_is_asked_for():
    parsed = config.parse(MIXED)
    number, one, three = parsed.networks
    skipped = {
        network.dataset: {
            metric: reason
            for metric in MIXED["metrics"]
            if (reason := parsed.skipped(network, "gradient_x_input", metric))
        }
        for network in parsed.networks
    }
    assert skipped == {
        "diabetes": {"srg": "needs probabilities", "random_logit": "needs several outputs"},
        "breast_cancer": {"random_logit": "needs several outputs"},
        "wine": {},
    }
    assert parsed.not_applicable(number, "elime") == "needs probabilities"
    assert parsed.not_applicable(one, "elime") is None
    assert parsed.not_applicable(number, "lime_fast") is None


@pytest.mark.parametrize(
    "study, lacking",
    [("metric_trust", "classes, several outputs"), ("budget", None)],
)
def test_studies_about_classes_refuse_numbers(study, lacking):
    section = {"metric_trust": {"perturbations": 1}, "budget": {"reference_method": "lime_fast"}}
    raw = {**MIXED, study: section[study], "methods": {"lime_fast": None, "elime": None}}
    raw["networks"] = MIXED["networks"][:1]
    if lacking is None:
        config.parse(raw)
        return
    message = rf"networks\.0: the study {study} needs {lacking}, which mlp on diabetes does not"
    with pytest.raises(config.ConfigError, match=message):
        config.parse(raw)

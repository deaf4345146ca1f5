"""Every drop-in of every kind keeps its promises.

New files are found and need no test of their own.
"""

import re
from dataclasses import MISSING, fields, replace

import pytest

from gpex_bench.contract import checks
from gpex_bench.contract.promises import NeedsSettings
from gpex_bench.models.pretrained import Pretrained
from gpex_bench.plugins.registry import ROOT, load, plugins

DOWNLOADED = {"mnist", "fashion_mnist", "cifar10"}
# Settings that make a check a matter of seconds; a plug-in that is not named is tried with its
# defaults.
SMALL = {"width": 4, "wide": 16}
CHEAP = {
    "shapes": {"n_train": 32, "n_test": 16},
    "alexnet": SMALL,
    "attention": SMALL | {"squeeze": 8},
    "bagnet": SMALL,
    "cnn": SMALL,
    "densenet": {"growth": 4, "wide": 16},
    "mlp": {"wide": 16},
    "mobilenet": SMALL,
    "resnet": SMALL,
    "vgg": SMALL,
    "vit": SMALL | {"heads": 2, "stem": 4},
    "arc_cosine": {"dim": 20},
    "exact_gp": {"n_points": 60, "n_tuned": 40, "n_steps": 5},
    "gpex": {"n_steps": 4, "width": 16, "dim": 4},
    "gpex_paper": {"n_steps": 3, "second_steps": 2, "width": 16, "dim": 4},
    "laplace": {"prior_steps": 3},
    "nystrom": {"n_landmarks": 20},
    "ntk": {"dim": 40},
    "svgp": {"n_inducing": 8, "dim": 4, "n_steps": 3, "n_mixed": 64},
}
CHECKED = {
    "dataset": checks.check_dataset,
    "model": checks.check_model,
    "surrogate": checks.check_surrogate,
}
# mnist5k is read from text, which takes its time.
OTHERS = [
    pytest.param(kind, name, marks=pytest.mark.slow if name == "mnist5k" else ())
    for kind in CHECKED
    for name in plugins(kind)
]


def cls_of(kind: str, name: str) -> type:
    plugin = plugins(kind)[name]
    assert plugin.cls is not None, f"{plugin.path.name} {plugin.reason}"
    return plugin.cls


def needs_settings(cls: type) -> bool:
    """Return whether a class has settings without a default, such as the name of a file."""
    required = [one for one in fields(cls) if one.default is one.default_factory is MISSING]
    return bool(required)


def cheap(kind: str, name: str):
    """Return a plug-in with settings that make it quick to check.

    A network is trained for two epochs.
    """
    made = cls_of(kind, name)(**CHEAP.get(name, {}))
    if kind == "model":
        made = replace(made, training=replace(made.training, epochs=2))
    return made


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
@pytest.mark.parametrize("kind, name", OTHERS)
def test_datasets_models_and_surrogates(kind, name):
    if needs_settings(cls_of(kind, name)):
        pytest.skip(f"{name} reads files of a user's own, and has tests of its own")
    if name in DOWNLOADED:
        pytest.skip(f"{name} is a download; `gpex-bench check {name}` holds it to the contract")
    CHECKED[kind](cheap(kind, name))


@pytest.mark.parametrize("name", plugins("method"))
def test_explainer(name):
    checks.check_method(cls_of("method", name))


@pytest.mark.parametrize("name", plugins("metric"))
def test_metric(name):
    checks.check_metric(cls_of("metric", name)())


@pytest.mark.parametrize(
    "kind, name", [(kind, name) for kind in ("method", "metric") for name in plugins(kind)]
)
def test_reference_is_in_the_bibliography(kind, name):
    keys = re.findall(
        r"^@\w+\{([^,\s]+),", (ROOT / "docs" / "references.bib").read_text(), re.MULTILINE
    )
    assert cls_of(kind, name).reference in keys
    assert len(keys) == len(set(keys))


def test_template_is_an_explainer_that_keeps_its_promises():
    path = ROOT / "methods" / "_template.py"
    assert len(path.read_text().splitlines()) <= 40
    checks.check_explainer(load(path, "template_under_test").Template())


def test_a_plugin_that_needs_files_is_checked_with_a_config():
    with pytest.raises(NeedsSettings, match="no default for build, so .* --config FILE"):
        checks.CHECKS["model"](Pretrained)

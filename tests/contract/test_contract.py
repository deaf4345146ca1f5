"""Every drop-in explainer and metric keeps its promises; new files are found and need no test of their own."""

import re

import pytest

from gpex_bench.contract import checks
from gpex_bench.plugins.registry import ROOT, load, plugins


def cls_of(kind: str, name: str) -> type:
    plugin = plugins(kind)[name]
    assert plugin.cls is not None, f"{plugin.path.name} {plugin.reason}"
    return plugin.cls


@pytest.mark.parametrize("name", plugins("method"))
def test_explainer(name):
    checks.check_explainer(checks.example(cls_of("method", name)))


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

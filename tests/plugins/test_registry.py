"""Plug-ins are found by file name, and one that cannot be used says why."""

import re
import sys
from pathlib import Path

import pytest

from gpex_bench.plugins import registry
from gpex_bench.types import Explainer

GOOD = """
from gpex_bench.types import Attribution, Explainer, settings

@settings
class Zero(Explainer):
    reference = "none"
    kind = "control"
    relative_to = "nothing"
    cost = "none"

    def explain(self, task, query):
        return Attribution(values=query.x * 0)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    kind = registry.Kind("method", Explainer, tmp_path / "drop")
    kind.folder.mkdir()
    monkeypatch.setitem(registry.KINDS, "method", kind)
    registry.forget()
    yield kind.folder
    registry.forget()
    for name in [name for name in sys.modules if name.startswith("gpex_bench.drop.")]:
        del sys.modules[name]


def test_the_file_name_is_the_name(folder):
    (folder / "zero.py").write_text(GOOD)
    (folder / "_template.py").write_text("not even python")
    assert list(registry.plugins("method")) == ["zero"]
    assert registry.plugins("method")["zero"].cls.__name__ == "Zero"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def (", r"cannot be imported.*SyntaxError"),
        (
            "\n\nimport no_such_package",
            r"cannot be imported, line 3: ModuleNotFoundError.*no_such_package",
        ),
        ("x = 1", "exactly one concrete Explainer, found none"),
        (
            GOOD + GOOD.replace("Zero", "Nought"),
            r"exactly one concrete Explainer, found Nought \(line 16\), Zero \(line 4\)$",
        ),
        (
            GOOD.replace("    kind =", "    kin ="),
            r"class Zero \(line 4\) lacks the class attribute 'kind'",
        ),
        (
            GOOD.replace("    relative_to =", "    relative ="),
            r"class Zero \(line 4\) lacks the class attribute 'relative_to'",
        ),
        (
            GOOD.replace('relative_to = "nothing"', 'relative_to = "black"'),
            "has relative_to = 'black'; it must be one of baseline, zero, ",
        ),
        (GOOD.replace("@settings", ""), r"class Zero \(line 5\) lacks the decorator @settings"),
        (
            GOOD.replace("def explain", "def explains"),
            "exactly one concrete Explainer, found none; Zero is abstract: it lacks explain",
        ),
    ],
    ids=[
        "syntax",
        "import",
        "nothing",
        "two",
        "no kind",
        "no reference point",
        "unknown point",
        "no settings",
        "abstract",
    ],
)
def test_a_file_that_cannot_be_used_says_why(folder, text, reason):
    (folder / "bad.py").write_text(text)
    plugin = registry.plugins("method")["bad"]
    assert plugin.cls is None
    assert re.search(reason, plugin.reason), plugin.reason


def test_a_bad_name_makes_one_entry_unusable(folder):
    (folder / "My-Method.py").write_text(GOOD)
    (folder / "zero.py").write_text(GOOD)
    found = registry.plugins("method")
    assert found["zero"].cls is not None
    assert found["My-Method"].cls is None
    assert re.search(r"'My-Method', which must match \[a-z0-9_\]\+", found["My-Method"].problem)


def install(folder: Path, monkeypatch, name: str, target: str) -> None:
    """Put a third-party distribution with an entry point on the path."""
    site = folder.parent / "site"
    info = site / "third_party-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "third_party.py").write_text(GOOD)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[gpex_bench.methods]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(str(site))


def test_entry_points_are_found(folder, monkeypatch):
    install(folder, monkeypatch, "nought", "third_party:Zero")
    assert registry.plugins("method")["nought"].cls.__name__ == "Zero"


def test_an_entry_point_that_cannot_be_used_says_why(folder, monkeypatch):
    install(folder, monkeypatch, "nought", "third_party:Missing")
    assert "cannot be imported: AttributeError" in registry.plugins("method")["nought"].reason


def test_a_clash_names_both_places_and_breaks_nothing_else(folder, monkeypatch):
    (folder / "zero.py").write_text(GOOD)
    (folder / "other.py").write_text(GOOD)
    install(folder, monkeypatch, "zero", "third_party:Zero")
    found = registry.plugins("method")
    assert found["other"].cls is not None
    assert found["zero"].cls is None
    places = r"Two methods are called 'zero': .*drop/zero\.py and .*third_party:Zero of third-party"
    assert re.search(places, found["zero"].problem)

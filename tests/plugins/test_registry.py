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
    registry.plugins.cache_clear()
    yield kind.folder
    registry.plugins.cache_clear()
    for name in [name for name in sys.modules if name.startswith("gpex_bench_drop_")]:
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
            "exactly one concrete Explainer, found Nought, Zero",
        ),
        (GOOD.replace("    kind =", "    kin ="), "class Zero lacks the class attribute 'kind'"),
        (
            GOOD.replace("    relative_to =", "    relative ="),
            "class Zero lacks the class attribute 'relative_to'",
        ),
        (
            GOOD.replace('relative_to = "nothing"', 'relative_to = "black"'),
            "relative_to must be one of baseline, zero, .*, got 'black'",
        ),
        (GOOD.replace("@settings", ""), "class Zero lacks the decorator @settings"),
        (GOOD.replace("def explain", "def explains"), "exactly one concrete Explainer, found none"),
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


def test_a_bad_name_is_refused(folder):
    (folder / "My-Method.py").write_text(GOOD)
    with pytest.raises(ValueError, match=r"'My-Method' .* must match \[a-z0-9_\]\+"):
        registry.plugins("method")


def install(folder: Path, monkeypatch, name: str, target: str) -> None:
    """Put a third-party distribution with an entry point on the path."""
    site = folder.parent / "site"
    info = site / "third_party-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "third_party.py").write_text(GOOD)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.ENTRY_POINTS}]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(str(site))


def test_entry_points_are_found(folder, monkeypatch):
    install(folder, monkeypatch, "nought", "third_party:Zero")
    assert registry.plugins("method")["nought"].cls.__name__ == "Zero"


def test_an_entry_point_that_cannot_be_used_says_why(folder, monkeypatch):
    install(folder, monkeypatch, "nought", "third_party:Missing")
    assert "cannot be imported: AttributeError" in registry.plugins("method")["nought"].reason


def test_a_clash_names_both_places(folder, monkeypatch):
    (folder / "zero.py").write_text(GOOD)
    install(folder, monkeypatch, "zero", "third_party:Zero")
    with pytest.raises(
        ValueError, match=r"Two methods are called 'zero': .*drop/zero\.py and .*third_party\.py"
    ):
        registry.plugins("method")

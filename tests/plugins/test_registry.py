"""Plug-ins are found by file name, and one that cannot be used says why."""

import re
import sys
from pathlib import Path

import pytest

from gpex_bench.plugins import cards, registry
from gpex_bench.types import Architecture, Explainer

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


@pytest.fixture
def models(folder, monkeypatch):
    monkeypatch.setitem(registry.KINDS, "model", registry.Kind("model", Architecture, folder))
    return folder


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


# --- which class of a file --------------------------------------------------------------------------

IMPORTED = """
from gpex_bench.types import Architecture
from gpex_bench.models.mlp import Mlp, MlpModel
"""
CLASSES = {
    "a subclass of another plug-in": f"{IMPORTED}\n@settings\nclass Mine(Mlp): ...",
    "a base by its module": "from gpex_bench import models, types\nimport gpex_bench.models.mlp as mlp\n"
    "@settings\nclass Mine(mlp.Mlp): ...",
    "of an abstract helper": f"{IMPORTED}\nclass Helper(Architecture): ...\n@settings\nclass Mine(Mlp): ...",
    "with another name too": f"{IMPORTED}\n@settings\nclass Mine(Mlp): ...\nAlias = Mine",
    "beside other classes": f"{IMPORTED}\nclass Net(MlpModel): ...\n@settings\nclass Mine(Mlp): ...",
    "without the decorator, and nothing to set": f"{IMPORTED}\nclass Mine(Mlp): ...",
    "made by a function": f"{IMPORTED}\nMine = settings(type('Mine', (Mlp,), {{'__module__': __name__}}))",
}


@pytest.mark.parametrize("case", CLASSES)
def test_the_class_of_a_file_is_found_by_what_it_is(models, case):
    (models / "mine.py").write_text(f"from gpex_bench.types import settings\n{CLASSES[case]}")
    plugin = registry.plugins("model")["mine"]
    assert plugin.cls is not None, plugin.problem
    assert plugin.cls.__name__ == "Mine"


DIRECT = """
from gpex_bench import types

@types.settings
class Mine(types.Architecture):
    takes = frozenset({types.Need.TABLE})

    def build(self, data): ...
    def train(self, data, seed, progress): ...
"""
REFUSED = {
    "none of its own": (f"{IMPORTED}", r"found none of its own \(it imports Mlp\)"),
    "takes is missing": (DIRECT.replace("takes =", "take ="), "lacks the class attribute 'takes'"),
    "takes is a word": (
        DIRECT.replace("frozenset({types.Need.TABLE})", "'table'"),
        "has takes = 'table'; it must be a frozenset of Need",
    ),
    "takes has words": (
        DIRECT.replace("types.Need.TABLE", "'table'"),
        r"has takes = frozenset\(\{'table'\}\); it must be a frozenset of Need",
    ),
    "a hyperparameter that would be ignored": (
        f"{IMPORTED}\nclass Mine(Mlp):\n    wide: int = 7",
        r"class Mine \(line 5\) has the hyperparameter 'wide' and lacks the decorator @settings",
    ),
    "a value that would be ignored": (
        f"{IMPORTED}\nfrom gpex_bench.types import settings\n@settings\nclass Mine(Mlp):\n    wide = 7",
        r"class Mine \(line 6\) sets the hyperparameter 'wide' without its type",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_class_that_would_not_do_what_it_seems_to_is_refused(models, case):
    text, reason = REFUSED[case]
    (models / "mine.py").write_text(text)
    plugin = registry.plugins("model")["mine"]
    assert plugin.cls is None
    assert re.search(reason, plugin.reason), plugin.reason


def test_a_base_by_its_module_is_found(models):
    (models / "mine.py").write_text(DIRECT)
    assert registry.plugins("model")["mine"].cls.__name__ == "Mine"


def test_a_list_of_plugins_shows_one_that_is_broken_and_one_with_required_settings(folder):
    required = GOOD.replace("    cost =", "    factor: float\n\n    cost =")
    choice = required.replace(
        'relative_to = "nothing"', "relative_to = property(lambda self: 'zero')"
    )
    (folder / "bad.py").write_text("import sys\nsys.exit()")
    (folder / "required.py").write_text(required)
    (folder / "choice.py").write_text(choice)
    lines = {name: cards.summary(plugin) for name, plugin in registry.plugins("method").items()}
    assert re.search(
        r"CANNOT BE USED: .*drop/bad\.py cannot be imported, line 2: SystemExit", lines["bad"]
    )
    assert "Relative to: nothing." in lines["required"]
    assert "Relative to: depends on its settings." in lines["choice"]


def test_a_user_who_interrupts_is_heard(folder):
    (folder / "bad.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        registry.plugins("method")

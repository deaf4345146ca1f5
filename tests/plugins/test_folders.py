"""Folders of drop-ins hold all five kinds; what a plug-in imports from its folder comes with it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gpex_bench import config
from gpex_bench.plugins import registry
from gpex_bench.plugins.registry import plugins
from gpex_bench.run import provenance
from tests.vocabulary.dropins import METHOD, MODEL, TEXTS, raw_config, write

HELPED = METHOD.replace("factor: float = 1.0", "factor: float = FACTOR")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder; what was found in it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    registry.forget()
    provenance.forget()


def factor(name="mine", folders=("mine",)):
    plugin = plugins("method", folders)[name]
    assert plugin.cls is not None, plugin.problem
    return plugin.cls().factor


def covered(path: Path) -> set[str]:
    """Return the files of the working folder that count in a fingerprint."""
    here = Path.cwd()
    every = provenance.sources(path)
    return {str(one.relative_to(here)) for one in every if one.is_relative_to(here)}


@pytest.mark.parametrize("kind", TEXTS)
def test_every_kind_is_found_in_a_folder(folder, kind):
    write(folder / "mine", {f"{kind}s/own.py": TEXTS[kind], f"{kind}s/_not.py": "no python"})
    assert plugins(kind, ["./mine"])["own"].cls.__name__ == "Mine"
    assert "own" not in plugins(kind)
    assert {*plugins(kind, ["mine"])} - {*plugins(kind)} == {"own"}


def test_a_config_uses_plugins_of_its_folders(folder):
    write(folder / "mine", {f"{kind}s/own.py": text for kind, text in TEXTS.items()})
    sections = {f"{kind}s": {"own": None} for kind in TEXTS}
    networks = [{"dataset": "own", "model": "own", "surrogates": ["own"]}]
    raw = raw_config(**sections, networks=networks, plugins=["./mine"], headline="own")
    parsed = config.parse(raw)
    assert {parsed.entry(kind, "own").settings.__class__.__name__ for kind in TEXTS} == {"Mine"}
    assert parsed.model("own").wide == 8
    assert parsed.plugins == ("./mine",)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["./nothere"], r"plugins\.0: '\./nothere' is not there; looked in .*Give a folder that"),
        (["./full", "file.txt"], r"plugins\.1: 'file\.txt' is no folder"),
        (["empty"], r"plugins\.0: 'empty' holds none of the folders datasets, models, surrogates,"),
        (["full/methods"], r"'full/methods' holds none of .*Did you mean 'full'\?"),
        ("./full", r"plugins: .*'\./full'"),
    ],
    ids=["missing", "a file", "empty", "one too deep", "no list"],
)
def test_a_folder_without_plugins_is_an_error(folder, folders, message):
    write(folder, {"file.txt": "", "full/methods/own.py": METHOD, "empty/notes.txt": ""})
    with pytest.raises(config.ConfigError, match=message):
        config.parse(raw_config(plugins=folders))


# --- helpers --------------------------------------------------------------------------------------

FACTOR = "FACTOR = 2.0\n"
IMPORTS = {
    "beside, relative": ("from ._help import FACTOR", {"methods/_help.py": FACTOR}),
    "beside, a module": (
        "from . import _help\nFACTOR = _help.FACTOR",
        {"methods/_help.py": FACTOR},
    ),
    "beside, absolute": ("from _help import FACTOR", {"methods/_help.py": FACTOR}),
    "beside, import": ("import _help\nFACTOR = _help.FACTOR", {"methods/_help.py": FACTOR}),
    "beside, not private": (
        "import helping as h\nFACTOR = h.FACTOR",
        {"methods/helping.py": FACTOR},
    ),
    "at the top, absolute": ("from shared import FACTOR", {"shared.py": FACTOR}),
    "at the top, relative": ("from ..shared import FACTOR", {"shared.py": FACTOR}),
    "by the folder's name": ("from mine.shared import FACTOR", {"shared.py": FACTOR}),
    "by its name, import": (
        "import mine.shared\nFACTOR = mine.shared.FACTOR",
        {"shared.py": FACTOR},
    ),
    "by its name, a kind": ("from mine.methods._help import FACTOR", {"methods/_help.py": FACTOR}),
    "a package": (
        "from tools.deep.values import FACTOR",
        {"tools/__init__.py": "", "tools/deep/__init__.py": "", "tools/deep/values.py": FACTOR},
    ),
    "a package that passes on": (
        "from tools import FACTOR",
        {"tools/__init__.py": "from .values import FACTOR", "tools/values.py": FACTOR},
    ),
    "what a package runs first": (
        "from tools.values import FACTOR",
        {"tools/__init__.py": "import tools.more", "tools/more.py": "", "tools/values.py": FACTOR},
    ),
    "a folder": ("import tools.values\nFACTOR = tools.values.FACTOR", {"tools/values.py": FACTOR}),
    "a module of a folder": (
        "from tools import values\nFACTOR = values.FACTOR",
        {"tools/values.py": FACTOR},
    ),
    "all names": ("from _help import *", {"methods/_help.py": FACTOR}),
    "a helper's helper": (
        "from shared import FACTOR",
        {"shared.py": "from others import FACTOR", "others.py": FACTOR},
    ),
    "a helper in a package": (
        "from tools.first import FACTOR",
        {"tools/first.py": "from second import FACTOR", "tools/second.py": FACTOR},
    ),
    "another kind": (
        "from models._help import FACTOR",
        {"models/_help.py": FACTOR},
    ),
}


@pytest.mark.parametrize("name", IMPORTS)
def test_helpers_are_imported_and_count(folder, name):
    statement, helpers = IMPORTS[name]
    files = {"methods/mine.py": f"{statement}\n{HELPED}", "methods/other.py": METHOD, **helpers}
    write(folder / "mine", files)
    path, modules = list(sys.path), set(sys.modules)

    assert factor() == 2.0
    assert sys.path == path
    new = {one for one in set(sys.modules) - modules if not one.startswith("gpex_bench")}
    assert not {one.partition(".")[0] for one in new} & {
        "_help",
        "helping",
        "shared",
        "tools",
        "mine",
    }

    own, other = (folder / "mine/methods" / one for one in ("mine.py", "other.py"))
    assert covered(own) == {"mine/methods/mine.py", *(f"mine/{helper}" for helper in helpers)}
    before = provenance.fingerprint(own), provenance.fingerprint(other)
    for helper in helpers:
        text = (folder / "mine" / helper).read_text()
        (folder / "mine" / helper).write_text(text.replace("2.0", "3.0") + "\n# edited\n")
        registry.forget()
        provenance.forget()
        after = provenance.fingerprint(own), provenance.fingerprint(other)
        assert after[0] != before[0], helper
        assert after[1] == before[1]
    assert factor() == 3.0


def test_two_folders_with_the_same_names_do_not_clash(folder):
    for name, number in (("one", "2.0"), ("two", "3.0")):
        text = f"import _help\nFACTOR = _help.FACTOR\n{HELPED}"
        files = {f"methods/of_{name}.py": text, "methods/_help.py": f"FACTOR = {number}\n"}
        write(folder / name, files)
    both = ["one", "two"]
    assert [factor("of_one", both), factor("of_two", both)] == [2.0, 3.0]
    assert [factor("of_two", both[::-1]), factor("of_one", both[::-1])] == [3.0, 2.0]


def test_a_fingerprint_does_not_depend_on_where_the_folder_lies(folder):
    files = {"methods/mine.py": f"from shared import FACTOR\n{HELPED}", "shared.py": FACTOR}
    paths = [write(folder / name, files) / "methods/mine.py" for name in ("a/mine", "b/mine")]
    assert provenance.fingerprint(paths[0]) == provenance.fingerprint(paths[1])


def test_an_import_that_runs_later_finds_the_helper(folder):
    text = METHOD.replace("return types", "from _help import FACTOR; return types").replace(
        "* self.factor", "* FACTOR"
    )
    write(folder / "mine", {"methods/mine.py": text, "methods/_help.py": FACTOR})

    class Query:
        x = 3.0

    explainer = plugins("method", ["mine"])["mine"].cls()
    explain = type(explainer).explain
    types = sys.modules[explain.__module__].types
    types_of_values = types.Attribution
    try:
        types.Attribution = lambda values: values
        assert explain(explainer, None, Query) == 6.0
    finally:
        types.Attribution = types_of_values


def test_a_plugin_may_have_the_name_of_a_library(folder):
    """`methods/lime.py` that wraps the package lime gets the package, and so does a file beside it."""
    wrap = (
        "import lime\nfrom lime import lime_image\nFACTOR = float('lime' in lime_image.__file__)\n"
    )
    files = {
        "methods/lime_own.py": wrap + HELPED,
        "methods/statistics.py": "import statistics\n" + METHOD,
    }
    write(folder / "mine", files | {"datasets/lime.py": wrap + TEXTS["dataset"]})
    assert factor("lime_own") == 1.0
    assert factor("statistics") == 1.0
    assert plugins("dataset", ["mine"])["lime"].cls is not None


def test_nothing_is_written_into_the_folder(folder):
    write(
        folder / "mine", {"methods/mine.py": f"import _help\n{METHOD}", "methods/_help.py": FACTOR}
    )
    assert factor() == 1.0
    assert sorted(path.name for path in (folder / "mine").rglob("*")) == [
        "_help.py",
        "methods",
        "mine.py",
    ]


def test_an_edit_within_the_same_second_is_seen(folder):
    write(folder / "mine", {"methods/mine.py": METHOD})
    assert factor() == 1.0
    write(folder / "mine", {"methods/mine.py": METHOD.replace("1.0", "7.0")})
    registry.forget()
    assert factor() == 7.0


def test_plugins_of_one_folder_may_build_on_each_other_and_on_ours(folder):
    child = """
from base import Mine as Base
from gpex_bench.types import settings

@settings
class Child(Base):
    factor: float = 5.0
"""
    ours = """
from gpex_bench.methods.saliency import Saliency
from gpex_bench.types import settings

@settings
class Own(Saliency):
    factor: float = 6.0
"""
    write(
        folder / "mine",
        {"methods/base.py": METHOD, "methods/child.py": child, "methods/own.py": ours},
    )
    found = plugins("method", ["mine"])
    assert issubclass(found["child"].cls, found["base"].cls)
    assert issubclass(found["own"].cls, found["saliency"].cls)
    assert covered(folder / "mine/methods/child.py") == {
        "mine/methods/base.py",
        "mine/methods/child.py",
    }
    assert found["saliency"].path in provenance.sources(folder / "mine/methods/own.py")


def test_the_working_folder_and_one_folder_twice_are_fine(folder):
    write(folder, {"methods/mine.py": METHOD})
    assert factor(folders=[".", str(folder), "./"]) == 1.0
    assert plugins("method", [registry.ROOT])["lrp"].cls is not None


# --- what cannot be used --------------------------------------------------------------------------

BROKEN = {
    "syntax": ("x = 1\ndef (", r"own\.py cannot be imported, line 2: SyntaxError: invalid syntax"),
    "import": (
        "\n\nimport no_such",
        r"own\.py cannot be imported, line 3: ModuleNotFoundError: .*'no_such'",
    ),
    "exit": ("import sys\nsys.exit(3)", r"own\.py cannot be imported, line 2: SystemExit: 3"),
    "of no kind": (
        "class Odd(BaseException): ...\n\nraise Odd('no')",
        r"own\.py cannot be imported, line 3: Odd: no",
    ),
    "helper": (
        "import _broken",
        r"own\.py cannot be imported, \w+/_broken\.py, line 2: ZeroDivisionError",
    ),
    "helper's syntax": (
        "import _syntax",
        r"own\.py cannot be imported, \w+/_syntax\.py, line 1: SyntaxError",
    ),
    "no class": ("x = 1", r"own\.py must define exactly one concrete \w+, found none"),
    "encoding": ("# coding: nonsense\n", r"own\.py cannot be imported.*: SyntaxError"),
}


@pytest.mark.parametrize(
    ("kind", "case"),
    [*(("model", case) for case in BROKEN), *((kind, "exit") for kind in TEXTS if kind != "model")],
)
def test_a_broken_plugin_breaks_only_configs_that_use_it(folder, kind, case):
    text, reason = BROKEN[case]
    files = {"own.py": text, "fine.py": TEXTS[kind], "_broken.py": "\n1 / 0", "_syntax.py": "x = ("}
    write(folder / "mine", {f"{kind}s/{name}": content for name, content in files.items()})
    found = plugins(kind, ["mine"])
    assert found["fine"].cls is not None
    assert found["own"].cls is None
    reason = rf"^mine/{kind}s/{reason}"
    assert re.search(reason, found["own"].problem), found["own"].problem

    plain = raw_config(plugins=["mine"])
    config.parse(plain)
    section = plain[f"{kind}s"] | {"used": {kind: "own"}}
    raw = plain | {f"{kind}s": section}
    if kind == "method":
        assert re.search(reason, config.parse(raw).entry("method", "used").reason)
        return
    with pytest.raises(config.ConfigError, match=rf"^{kind}s\.used: {reason[1:]}"):
        config.parse(raw)


def test_a_clash_with_ours_names_both_files_and_breaks_only_configs_that_use_it(folder):
    write(folder / "mine", {"methods/saliency.py": METHOD, "models/vit.py": MODEL})
    config.parse(raw_config(plugins=["mine"]))
    both = r"methods\.saliency: Two methods are called 'saliency': methods/saliency\.py and mine/methods/saliency\.py"
    with pytest.raises(config.ConfigError, match=both):
        config.parse(raw_config(plugins=["mine"], methods={"saliency": None}))
    with pytest.raises(
        config.ConfigError, match=r"gpex_bench/models/vit\.py and mine/models/vit\.py"
    ):
        config.parse(raw_config(plugins=["mine"], models={"mlp": None, "vit": None}))


def test_a_fresh_process_finds_no_trace_of_plugins_on_its_path(folder):
    """Nothing but the folder is needed: no entry of the path, no environment variable."""
    write(
        folder / "mine", {"methods/mine.py": f"import _help\n{METHOD}", "methods/_help.py": FACTOR}
    )
    code = (
        "import sys; before = list(sys.path)\n"
        "from gpex_bench.plugins.registry import plugins\n"
        "assert plugins('method', ['mine'])['mine'].cls, plugins('method', ['mine'])['mine'].problem\n"
        "assert sys.path == before\n"
    )
    command = [sys.executable, "-P", "-c", code]
    environment = {"PYTHONPATH": str(registry.ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

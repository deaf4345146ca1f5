"""Installed packages announce plug-ins of all five kinds; the modules of the package count."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from gpex_bench import config
from gpex_bench.plugins import registry
from gpex_bench.run import provenance
from tests.vocabulary.dropins import METHOD, TEXTS, raw_config, write

PACKAGE = {
    "third/__init__.py": "from third.first import ONE\n",
    "third/first.py": "ONE = 1.0\n",
    "third/plugs.py": "from . import near\nfrom third.far import TWO\nimport third_extra\n"
    + METHOD,
    "third/near.py": "from .inner.deep import DEEP\n",
    "third/inner/deep.py": "DEEP = 0\n",
    "third/far.py": "TWO = 2.0\n",
    "third/other.py": "never imported\n",
    "third_extra.py": "THREE = 3.0\n",
    "elsewhere.py": "of another distribution\n",
}
COUNTED = {name for name in PACKAGE if name not in ("third/other.py", "elsewhere.py")}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on Python's path into which a distribution is installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith(("third", "company")):
            del sys.modules[name]
    registry.forget()
    provenance.forget()


def install(site: Path, points: dict[str, str], files: dict[str, str], tops: str) -> None:
    """Install files, with entry points as {"group name": target}."""
    groups = {}
    for key, target in points.items():
        group, name = key.split()
        groups.setdefault(group, []).append(f"{name} = {target}")
    text = "".join(f"[{group}]\n" + "\n".join(lines) + "\n" for group, lines in groups.items())
    info = {
        "third_party-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: third-party\nVersion: 1.2\n",
        "third_party-1.2.dist-info/entry_points.txt": text,
        "third_party-1.2.dist-info/top_level.txt": tops,
    }
    write(site, files | info)
    importlib.invalidate_caches()
    registry.forget()


def test_all_five_kinds_and_the_older_group_of_methods_are_found(site):
    files = {f"third/{kind}_plug.py": text for kind, text in TEXTS.items()}
    points = {f"gpex_bench.{kind}s my_{kind}": f"third.{kind}_plug:Mine" for kind in TEXTS}
    points["gpex_bench.explainers my_older"] = "third.method_plug:Mine"
    install(site, points, files | {"third/__init__.py": ""}, "third")
    for kind in TEXTS:
        plugin = registry.plugins(kind)[f"my_{kind}"]
        assert plugin.cls is not None, plugin.problem
        assert plugin.path == site / f"third/{kind}_plug.py"
    assert registry.plugins("method")["my_older"].cls is registry.plugins("method")["my_method"].cls


def test_one_that_is_announced_in_both_groups_of_methods_is_one(site):
    points = {f"gpex_bench.{group} mine": "third:Mine" for group in ("methods", "explainers")}
    install(site, points, {"third.py": METHOD}, "third")
    assert registry.plugins("method")["mine"].cls is not None


def covered(site: Path, name: str) -> set[str]:
    sources = provenance.sources(registry.plugins("method")[name].path)
    return {str(path.relative_to(site)) for path in sources if path.is_relative_to(site)}


def test_the_modules_of_its_package_count_in_its_fingerprint(site):
    install(site, {"gpex_bench.methods mine": "third.plugs:Mine"}, PACKAGE, "third\nthird_extra\n")
    assert registry.plugins("method")["mine"].cls is not None
    assert covered(site, "mine") == COUNTED

    path = registry.plugins("method")["mine"].path
    before = provenance.fingerprint(path)
    for name in sorted(PACKAGE):
        (site / name).write_text(PACKAGE[name] + "# edited\n")
        provenance.forget()
        assert (provenance.fingerprint(path) != before) == (name in COUNTED), name
        (site / name).write_text(PACKAGE[name])


def test_a_package_without_an_init_file_is_followed_too(site):
    files = {
        "company/plugs.py": "from company.values import ONE\n" + METHOD,
        "company/values.py": "ONE = 1.0\n",
    }
    install(site, {"gpex_bench.methods mine": "company.plugs:Mine"}, files, "company")
    assert covered(site, "mine") == set(files)


@pytest.mark.parametrize(
    ("target", "text", "reason"),
    [
        (
            "third:Mine",
            "import sys; sys.exit()",
            "cannot be imported, third.py, line 1: SystemExit",
        ),
        ("third:Missing", METHOD, "cannot be imported: AttributeError: .*'Missing'"),
        ("nowhere:Mine", METHOD, "cannot be imported: ModuleNotFoundError: .*'nowhere'"),
        ("third:types", METHOD, "is not a concrete Explainer"),
        ("third:Mine", METHOD.replace("cost =", "costs ="), "lacks the class attribute 'cost'"),
    ],
    ids=["exit", "no such name", "no such module", "no class", "undeclared"],
)
def test_one_that_cannot_be_used_says_why_and_breaks_nothing_else(site, target, text, reason):
    install(site, {"gpex_bench.methods mine": target}, {"third.py": text}, "third")
    place = f"entry point mine = {target} of third-party 1.2"
    problem = registry.plugins("method")["mine"].problem
    assert re.match(rf"{place}.* {reason}", problem), problem
    config.parse(raw_config())


def test_a_clash_of_packages_names_both(site):
    points = {
        f"gpex_bench.{group} mine": f"third:{name}"
        for group, name in (("methods", "Mine"), ("explainers", "Other"))
    }
    install(site, points, {"third.py": METHOD + METHOD.replace("Mine", "Other")}, "third")
    both = (
        r"methods\.mine: Two methods are called 'mine': entry point mine = third:Mine .*third:Other"
    )
    config.parse(raw_config())
    with pytest.raises(config.ConfigError, match=both):
        config.parse(raw_config(methods={"mine": None}))

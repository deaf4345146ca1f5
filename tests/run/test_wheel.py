"""A wheel holds all that a run needs: it is unpacked outside the checkout, which is then not used."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from gpex_bench.plugins import registry
from gpex_bench.plugins.homes import PACKAGE, ROOT
from gpex_bench.run import provenance
from tests.vocabulary.dropins import METHOD, raw_config, write

pytestmark = pytest.mark.slow

BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
BESIDE = ("methods", "workflow", "profiles", "config", "docs/references.bib")
START = "from gpex_bench.run.workflow import run; import sys; sys.exit(run(sys.argv[1], 1, *sys.argv[2:]))"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of an unpacked wheel."""
    source = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("gpex_bench", *BESIDE, "pyproject.toml", "setup.py", "README.md", "LICENSE"):
        target = source / name
        target.parent.mkdir(exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, target)

    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=source, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert b"absent from" not in done.stderr  # a folder that setuptools does not know as a package
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site


@pytest.fixture(scope="module")
def python(site, tmp_path_factory):
    """Run Python in a folder of its own, with the wheel first on its path."""
    folder = tmp_path_factory.mktemp("work")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    } | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}

    def run(code: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-W", "ignore", "-c", code, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        return done.stdout + done.stderr

    run.folder = folder
    return run


def test_it_has_every_file_of_the_checkout_that_a_run_needs(site):
    for beside, inside in (
        ("methods", "methods"),
        ("workflow", "workflow"),
        ("profiles", "profiles"),
        ("config", "configs"),
        ("gpex_bench", "."),
    ):
        for path in (ROOT / beside).rglob("*"):
            if path.is_file() and path.suffix not in (".md", ".pyc"):
                there = site / "gpex_bench" / inside / path.relative_to(ROOT / beside)
                assert there.is_file(), there
                assert there.read_bytes() == path.read_bytes()
    assert (site / "gpex_bench/docs/references.bib").is_file()


def test_it_has_all_plugins_with_the_same_fingerprints(python, site):
    code = """
from gpex_bench.plugins.registry import KINDS, PACKAGE, plugins
from gpex_bench.run import provenance
print(PACKAGE, provenance.commit())
for kind in KINDS:
    for name, plugin in plugins(kind).items():
        print(kind, name, provenance.fingerprint(PACKAGE / "stages/explain.py", plugin.path), plugin.problem)
"""
    first, *lines = python(code).splitlines()
    assert first == f"{site / 'gpex_bench'} {{'commit': None, 'dirty': None}}"
    here = [
        f"{kind} {name} {provenance.fingerprint(PACKAGE / 'stages/explain.py', plugin.path)} "
        for kind in registry.KINDS
        for name, plugin in registry.plugins(kind).items()
    ]
    assert lines == here


def test_its_command_line_lists_and_checks_methods(python):
    main = "import sys; from gpex_bench.cli import main; sys.exit(main(sys.argv[1:]))"
    listed = python(main, "list", "method")
    assert {line.split(":")[0] for line in listed.splitlines()} >= set(registry.plugins("method"))
    assert "method lrp keeps every promise" in python(main, "check", "lrp")


def test_it_runs_a_config_with_a_plugin_and_its_helper_and_again_what_an_edit_changes(python):
    """From data to the report, in a folder that holds nothing of ours."""
    text = "import _help\n" + METHOD.replace("= 1.0", "= _help.FACTOR")
    files = {
        "methods/own.py": text,
        "methods/other.py": METHOD,
        "methods/_help.py": "FACTOR = 2.0\n",
    }
    # modules of the working folder hide none of Python's or of ours
    clutter = {"types.py": "1 / 0", "random.py": "1 / 0", "gpex_bench/__init__.py": "1 / 0"}
    write(python.folder, clutter)
    write(python.folder / "mine", files)
    raw = raw_config(plugins=["./mine"], methods={"own": None, "other": None})
    (python.folder / "own.yaml").write_text(yaml.safe_dump(raw))

    python(START, "own.yaml")
    report = (python.folder / "results/own/report.html").read_text()
    assert "own" in report
    assert "not in the bibliography" in report  # the reference "none" of the plug-in; ours are
    assert report.count("not in the bibliography") == 1

    write(python.folder / "mine", {"methods/_help.py": "FACTOR = 3.0\n"})
    planned = python(START, "own.yaml", "-n")
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE))
    assert jobs.pop("total") == str(len(jobs))
    assert set(jobs) == {"explain", "score", "aggregate", "draw", "report", "all"}
    assert "with own" in planned
    assert "with other" not in planned


def test_a_wrong_call_is_refused(tmp_path, monkeypatch):
    from gpex_bench.run import workflow

    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"config_path must be a YAML config, got 'nowhere\.yaml'"):
        workflow.run("nowhere.yaml", 1)
    Path("some.yaml").write_text("run: x")
    with pytest.raises(ValueError, match="cores must be at least 1, got 0"):
        workflow.run("some.yaml", 0)

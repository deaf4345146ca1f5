"""The house stays in order: sizes, names and borders that the linters do not check."""

import ast
import random
import re
import subprocess
from pathlib import Path

import beartype
import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "gpex_bench").rglob("*.py"))
METHODS = sorted((ROOT / "methods").glob("*.py"))
# functions that stand in for those of torch
HAS_TORCHS_ARGUMENTS = {
    ROOT / "gpex_bench/models/rewriting" / f"{name}.py"
    for name in ("expansions", "layers", "moves")
}

every = pytest.mark.parametrize(
    "path", [*MODULES, *METHODS], ids=lambda path: str(path.relative_to(ROOT))
)


@every
def test_modules_and_functions_are_small(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name
            if path not in HAS_TORCHS_ARGUMENTS:
                assert len(node.args.posonlyargs) + len(node.args.args) <= 6, node.name


@every
def test_nothing_prints_or_asserts(path):
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}"
        assert not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"), (
            f"line {node.lineno}"
        )


def test_no_module_has_a_name_that_says_nothing():
    vague = {"utils", "util", "helpers", "helper", "common", "core", "base", "misc"}
    assert not vague & {path.stem for path in MODULES}


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.name)
def test_methods_import_only_the_nouns_and_what_families_share(path):
    ours = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            ours.add(node.module)
        elif isinstance(node, ast.Import):
            ours.update(alias.name for alias in node.names)
    rooms = (
        "gpex_bench.types",
        "gpex_bench.families",
        "gpex_bench.masking",
        "gpex_bench.models.altered",
        "gpex_bench.models.rewriting",
    )
    elsewhere = {name for name in ours if not name.startswith(rooms)}
    assert not {name for name in elsewhere if name.startswith(("gpex_bench", "methods"))}


def test_no_module_is_loose():
    assert {path.name for path in (ROOT / "gpex_bench").glob("*.py")} == {"__init__.py"}


@every
def test_no_value_travels_as_text(path):
    """Keys come from sidecars, what kind an error is from its class, what a control is for from its role."""
    text = path.read_text()
    assert ".parts[-" not in text
    assert 'removeprefix("surrogate' not in text
    assert 'removeprefix("seed-' not in text


def test_every_rule_has_a_file_of_its_name():
    """Of the run's rules: those of a study are in its folder."""
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        rules = re.findall(r"^rule (\w+):", path.read_text(), re.MULTILINE)
        assert rules == ([] if path.stem == "names" else [path.stem]), path.name


def test_scripts_and_rules_hold_no_logic():
    for path in (ROOT / "workflow/scripts").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 25
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        if path.name != "names.smk":
            assert "def " not in path.read_text(), path.name


def test_nothing_of_this_machine_is_committed():
    folders = re.compile(r"(?<![\w.])/(?:work|root|farm|home)/\w")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix not in (".png", ".parquet"):
            assert not folders.search(path.read_text()), name


def test_the_lock_names_versions_and_hashes_only():
    text = (ROOT / "requirements.lock").read_text()
    assert "http" not in text
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert len(blocks) > 100
    for block in blocks:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+", block), block[:80]
        assert "--hash=sha256:" in block, block[:80]


def test_the_type_checker_of_the_tests_leaves_pythons_random_state_alone():
    before = random.getstate()

    @beartype.beartype
    def total(numbers: list[float]) -> float:
        return sum(numbers)

    for _ in range(3):
        total([1.0, 2.0, 3.0])
    assert random.getstate() == before

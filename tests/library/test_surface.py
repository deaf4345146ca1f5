"""The public surface: what is there, that importing it is cheap, and that its examples run."""

import ast
import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import gpex_bench as gb

SOURCE = Path(gb.__file__)
VERBS = ("wrap", "explain", "score", "fit", "summary", "pairs", "arrays", "dataset")
# libraries that take long to import
SLOW = ("torch", "numpy", "pandas", "matplotlib", "scipy", "tqdm", "pydantic", "captum")


def script(text: str, folder: Path) -> str:
    """Run a script elsewhere, with the package of this checkout; return what it prints."""
    path = folder / "script.py"
    path.write_text(text)
    root = str(SOURCE.parent.parent)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(path)],
        cwd=folder,
        env={"PYTHONPATH": root, "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_importing_the_package_imports_nothing_else(tmp_path):
    text = (
        "import sys; import gpex_bench as gb; dir(gb); gb.__all__\n"
        f"print([name for name in {SLOW} if name in sys.modules])\n"
        "print([name for name in sys.modules if name.startswith('gpex_bench.')])\n"
    )
    assert script(text, tmp_path).split("\n")[:2] == ["[]", "[]"]


def test_lists_of_names_agree():
    """Type checkers read the imports, the interpreter the two tables."""
    tree = ast.parse(SOURCE.read_text())
    (block,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imported = {}
    for node in filter(lambda one: isinstance(one, ast.ImportFrom), block.body):
        for alias in node.names:
            imported[alias.asname or alias.name] = (node.module, alias.name)
    assert sorted(gb.__all__) == gb.__all__ == sorted([*imported, "__version__"])
    assert dir(gb) == gb.__all__
    for name, (module, own) in imported.items():
        assert getattr(gb, name) is getattr(sys.modules[module], own), name


@pytest.mark.parametrize("name", gb.__all__)
def test_no_name_is_that_of_a_folder(name):
    """Importing a folder would put a module in the place of the name."""
    assert not (SOURCE.parent / name).exists()


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'explian'"):
        gb.explian  # noqa: B018
    assert gb.__version__.count(".") >= 1


@pytest.mark.parametrize("name", [name for name in gb.__all__ if name != "__version__"])
def test_everything_public_says_what_it_is(name):
    assert inspect.getdoc(getattr(gb, name)), name


@pytest.mark.parametrize("name", VERBS)
def test_verbs_are_typed_and_say_what_they_take(name):
    function = getattr(gb, name)
    text = inspect.getdoc(function)
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.annotation is not parameter.empty, parameter
        if name not in ("summary", "pairs"):
            assert f"\n    {parameter.name}: " in text, parameter
    assert inspect.signature(function).return_annotation is not inspect.Signature.empty


def examples():
    """Return the examples in the docstrings of public functions and classes."""
    found = []
    for name in gb.__all__:
        thing = getattr(gb, name)
        if getattr(thing, "__module__", "").startswith("gpex_bench."):
            found += doctest.DocTestFinder(recurse=False).find(thing, name, globs={})
    return [test for test in found if test.examples]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_examples_in_docstrings_run(example):
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    report = []
    runner.run(example, out=report.append)
    assert not runner.failures, "".join(report)


def test_the_verbs_have_examples():
    assert {"wrap", "explain", "score", "fit", "method", "dataset"} <= {
        example.name for example in examples()
    }


def test_ten_lines_explain_and_score_a_network_of_torchvision(tmp_path):
    text = """
import numpy as np, torch, torchvision
import gpex_bench as gb

x = torch.rand(2, 3, 64, 64)
network = gb.wrap(torchvision.models.resnet18(), x)
maps = gb.explain(network, x, method="lrp")
mine = np.random.rand(2, 3, 64, 64)
scores = gb.score(network, x, {"lrp": maps, "mine": mine}, metrics=["srg", "infidelity"])
print(gb.summary(scores))
"""
    assert len(text.strip().splitlines()) <= 10
    printed = script(text, tmp_path)
    assert printed.count("lrp") == printed.count("mine") == 2
    assert printed.count("not_applicable") == printed.count("failed") == 0


def test_ten_lines_fit_gpex_to_a_network_and_print_neighbours(tmp_path):
    text = """
import numpy as np, torch
import gpex_bench as gb

x = np.random.default_rng(0).normal(size=(120, 5)); y = (x[:, 0] > 0).astype(int)
data = gb.arrays(x[:80], y[:80], x[80:], y[80:], classes=["no", "yes"])
mlp = torch.nn.Sequential(torch.nn.Linear(5, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
gp = gb.fit(mlp, data, surrogate="gpex", n_steps=20)
print(gp.agreement(data.test), gp.neighbours(data.test.x[:2], k=3), gp.cost)
"""
    assert len(text.strip().splitlines()) <= 10
    printed = script(text, tmp_path)
    assert "coverage_90" in printed and "training_row" in printed

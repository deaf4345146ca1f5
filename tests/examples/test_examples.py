"""The examples run as they are, and print what their pages show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from tests.vocabulary.pages import ROOT, blocks

FOLDER = ROOT / "examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))
NUMBER = re.compile(r"-?\d[\d,.]*(e[-+]?\d+)?")


def words(text: str) -> Counter:
    """Return how often each word is there, whatever the numbers are."""
    return Counter(NUMBER.sub("#", text).split())


def test_each_example_has_a_page_and_is_listed():
    assert len(EXAMPLES) == 5
    listed = (FOLDER / "README.md").read_text()
    for name in EXAMPLES:
        assert f"({name}.py)" in listed and f"({name}.md)" in listed
        assert f"{{literalinclude}} {name}.py" in (FOLDER / f"{name}.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_its_page_shows(name, tmp_path):
    command = [sys.executable, "-W", "error::UserWarning", str(FOLDER / f"{name}.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (shown,) = blocks(FOLDER / f"{name}.md", "text")
    assert words(done.stdout) == words(shown)

"""The page on bringing one's own is followed to the letter, in a folder outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from gpex_bench import cli
from tests.vocabulary import pages

PAGE = pages.ROOT / "docs/bring-your-own.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the user's files: a class, weights and images."""
    there = tmp_path_factory.mktemp("mine")
    network = pages.files(PAGE)["my_networks.py"]
    (there / "my_networks.py").write_text(network)
    (stand_ins,) = [block for block in pages.blocks(PAGE, "python") if "np.savez" in block]
    script = f"import numpy as np\n{network}\n{stand_ins}"
    subprocess.run([sys.executable, "-c", script], cwd=there, check=True)
    return there


@pytest.fixture(scope="module")
def commands() -> list[list[str]]:
    """The commands of the section on configs."""
    return [words for words in pages.commands(PAGE) if words[0] in ("init", "check", "run")]


def test_a_config_is_written_and_fits_without_an_edit(folder, commands, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    init, check, _ = commands
    (folder / "mine.yaml").unlink(missing_ok=True)
    assert cli.main(init) == 0
    written = (folder / "mine.yaml").read_text()
    assert all(name in written for name in ("photos.npz", "my_networks.py:Small", "small.pt"))
    assert cli.main(check) == 0, capsys.readouterr().err


def test_the_config_of_the_page_fits_and_is_short(folder, commands, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    text = pages.files(PAGE)["mine.yaml"]
    assert len(text.splitlines()) <= 15
    (folder / "mine.yaml").write_text(text)
    assert cli.main(commands[1]) == 0, capsys.readouterr().err


@pytest.mark.slow
def test_the_config_of_the_page_ends_with_a_report_outside_the_checkout(folder, commands):
    (folder / "mine.yaml").write_text(pages.files(PAGE)["mine.yaml"])
    command = [sys.executable, "-m", "gpex_bench.cli", *commands[2], "--cores", "2"]
    environment = os.environ | {"PYTHONPATH": str(pages.ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    results = Path(folder / "results/mine")
    assert "given, not trained" in (results / "report.html").read_text()
    outcomes = pd.read_parquet(results / "tables/outcomes.parquet")
    assert {"lrp", "kernel_shap"} <= set(outcomes.loc[outcomes["state"] == "ok", "method"])

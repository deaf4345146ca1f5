"""Every study, found by its folder, keeps the contract of studies and runs end to end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from gpex_bench.plugins.registry import STUDIES, study_names
from gpex_bench.run.provenance import sources
from tests.vocabulary.clone import Clone
from tests.vocabulary.quick import quick

FILES = {"plan.py", "measure.py", "answer.py", "figure.py", "jobs.py", "sentences.md.j2"}
FILES |= {"rules.smk"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """One copy of the tree for all studies."""
    return Clone(tmp_path_factory.mktemp("clone"))


def run(clone: Clone, config: dict) -> Path:
    """Run a config in the clone and return the folder of its results."""
    path = clone.folder / "config" / f"{config['run']}.yaml"
    path.write_text(yaml.safe_dump(config))
    clone.run("--cores", "2", config=f"config/{path.name}")
    return clone.folder / "results" / config["run"]


def check_answer(folder: Path) -> None:
    """Check that an answer is complete: a table with its origin, a page, figures with numbers."""
    assert len(pd.read_csv(folder / "table.csv")) > 0
    record = json.loads((folder / "table.json").read_text())
    assert record["inputs"] and record["code"]["fingerprint"]

    page = (folder / "sentences.md").read_text()
    assert page.startswith("# ")
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page)
    assert shown
    for name in shown:
        figure = folder / name
        for ending in (".svg", ".png"):
            assert figure.with_suffix(ending).stat().st_size > 1000, name
        assert len(pd.read_csv(figure.with_suffix(".csv"))) > 0, name


@pytest.mark.parametrize("study", study_names())
def test_the_folder_of_a_study_has_the_files_of_the_contract(study):
    there = {path.name for path in (STUDIES / study).iterdir()}
    assert there >= FILES


@pytest.mark.parametrize("study", study_names())
def test_another_answer_or_figure_measures_nothing_again(study):
    """The code fingerprint of the measurements does not depend on answer and figure."""
    folder = STUDIES / study
    measured = sources(folder / "measure.py")
    assert folder / "measure.py" in measured
    assert not {folder / "answer.py", folder / "figure.py"} & set(measured)


@pytest.mark.slow
@pytest.mark.parametrize("study", study_names())
def test_a_study_runs_end_to_end(clone, study):
    folder = run(clone, quick(study))
    check_answer(folder)
    assert clone.planned(f"config/{study}.yaml") == {}  # all its files are there

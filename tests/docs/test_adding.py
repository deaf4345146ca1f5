"""The pages on adding something are followed to the letter; no file of ours is edited."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from gpex_bench import cli
from tests.vocabulary import pages
from tests.vocabulary.clone import Clone

DOCS = pages.ROOT / "docs"
KINDS = ("method", "metric", "dataset", "network", "surrogate", "study")
PAGES = {kind: DOCS / f"add-a-{kind}.md" for kind in KINDS}
CHECKED = {kind: page for kind, page in PAGES.items() if kind != "study"}


def config(*followed: Path) -> dict:
    """Return the small config with the lines that pages add to it."""
    raw = yaml.safe_load(pages.files(DOCS / "add.md")["mine.yaml"])
    for page in followed:
        for block in pages.blocks(page, "yaml"):
            for section, lines in yaml.safe_load(block).items():
                raw[section] = joined(raw[section], lines) if section in raw else lines
    return raw


def joined(there: dict | list, more: dict | list) -> dict | list:
    """Return a section with more lines; a network that is there is replaced."""
    if isinstance(there, dict):
        return there | more
    names = [(network["dataset"], network["model"]) for network in more]
    kept = [network for network in there if (network["dataset"], network["model"]) not in names]
    return kept + more


def follow(folder: Path, *followed: Path) -> None:
    """Write the files that pages give, and the config."""
    for page in followed:
        for name, text in pages.files(page).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (folder / "mine.yaml").write_text(yaml.safe_dump(config(*followed)))


@pytest.mark.parametrize("kind", CHECKED)
def test_what_a_page_adds_keeps_every_promise(kind, tmp_path, monkeypatch, capsys):
    page = PAGES[kind]
    follow(tmp_path, page)
    (file,) = pages.files(page)
    name = Path(file).stem
    assert file.startswith("my_plugins/")

    monkeypatch.chdir(tmp_path)
    command = ["check", name, "--config", "mine.yaml"]
    assert command in pages.commands(page)
    assert cli.main(command) == 0
    assert re.search(rf"\b{name}\b", capsys.readouterr().out)


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_ends_with_a_run(kind):
    assert ["run", "mine.yaml"] in pages.commands(PAGES[kind])


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """A copy of the tree in which all pages were followed and their config has run."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    git(clone, "init", "--quiet")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", "the tree as it is")

    follow(clone.folder, *PAGES.values())
    command = [sys.executable, "-m", "gpex_bench.cli", "run", "mine.yaml"]
    done = subprocess.run(
        command, cwd=clone.folder, env=clone.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return clone


def git(clone: Clone, *arguments: str) -> str:
    """Return what git answers in the clone."""
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    command = ["git", *identity, *arguments]
    return subprocess.run(
        command, cwd=clone.folder, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.slow
def test_following_the_pages_edits_no_file(followed):
    changed = git(followed, "status", "--porcelain").splitlines()
    assert changed == ["?? gpex_bench/studies/accuracies/", "?? mine.yaml", "?? my_plugins/"]


@pytest.mark.slow
def test_all_that_was_added_is_in_the_tables(followed):
    outcomes = followed.table("outcomes", "mine")
    ok = outcomes[outcomes["state"] == "ok"]
    networks = set(zip(ok["dataset"], ok["model"], strict=True))
    assert networks == {("breast_cancer", "mlp"), ("breast_cancer", "two_layer"), ("moons", "mlp")}
    assert {"column_occlusion", "column_occlusion_half"} <= set(ok["method"])
    assert {"top_share", "top_share_half"} <= set(ok["metric"])

    agreement = followed.table("agreement", "mine")
    assert {"linear", "last_layer"} == set(agreement["surrogate"])


@pytest.mark.slow
def test_the_study_answers_beside_the_report(followed):
    results = followed.folder / "results/mine"
    assert (results / "report.html").is_file()
    table = pd.read_csv(results / "table.csv")
    measured = followed.table("networks", "mine").set_index(["dataset", "model"])["test_accuracy"]
    answered = table.set_index(["dataset", "model"])["accuracy"]
    assert len(answered) == 3
    assert answered.to_dict() == pytest.approx(measured.to_dict())
    assert (results / "sentences.md").read_text().startswith("# How accurate are the networks?")
    assert (results / "figure.svg").stat().st_size > 1000

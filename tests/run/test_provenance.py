"""A fingerprint covers the code that decides the numbers, and the code only."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from gpex_bench.plugins import registry
from gpex_bench.plugins.cards import card
from gpex_bench.run import provenance
from gpex_bench.types import settings

STAGES = registry.PACKAGE / "stages"


def names(*paths):
    return {path.relative_to(registry.ROOT).as_posix() for path in provenance.sources(*paths)}


@pytest.mark.parametrize(
    ("stage", "plugins", "wanted"),
    [
        (
            "prepare",
            ["data/shapes.py"],
            ["data/painted/scenes.py", "data/painted/glyphs.py", "data/files/splits.py"],
        ),
        (
            "train",
            ["models/resnet.py"],
            ["models/blocks/residual.py", "models/training/loop.py", "stages/train.py"],
        ),
        (
            "fit",
            ["surrogates/gpex.py"],
            ["surrogates/gp/posterior.py", "surrogates/gpex_fit/matching.py"],
        ),
        (
            "agree",
            ["surrogates/gpex.py"],
            ["surrogates/agreement/compare.py", "surrogates/gp/conditioning.py"],
        ),
        (
            "explain",
            [],
            [
                "contract/calls.py",
                "contract/isolation.py",
                "contract/cost.py",
                "stages/queries.py",
            ],
        ),
        (
            "score",
            ["metrics/infidelity.py"],
            ["measurements/subsets.py", "types/draws.py", "contract/calls.py"],
        ),
        ("aggregate", [], ["statistics/__init__.py", "tables/render.py", "tables/columns.py"]),
        ("draw/galleries", [], ["plots/maps.py", "tables/order.py"]),
        ("draw/scores", [], ["plots/dots.py", "statistics/outcomes.py"]),
        ("report", [], ["statistics/outcomes.py", "tables/order.py"]),
    ],
)
def test_what_a_stage_runs_is_covered(stage, plugins, wanted):
    covered = names(STAGES / f"{stage}.py", *(registry.PACKAGE / plugin for plugin in plugins))
    assert {f"gpex_bench/{name}" for name in wanted} <= covered


@pytest.mark.parametrize("stage", ["prepare", "train", "fit", "explain", "score"])
def test_other_plugins_and_the_wiring_are_not_covered(stage):
    covered = names(STAGES / f"{stage}.py")
    rooms = ("run", "config", "plots", "report", "studies")
    assert not [name for name in covered if name.split("/")[1] in rooms]
    assert "gpex_bench/metrics/srg.py" not in covered


def test_a_fingerprint_follows_the_content(tmp_path):
    one, other = tmp_path / "one.py", tmp_path / "two" / "one.py"
    other.parent.mkdir()
    one.write_text("x = 1\n")
    shutil.copy(one, other)
    assert provenance.fingerprint(one) == provenance.fingerprint(other)
    other.write_text("x = 2\n")
    provenance.forget()
    assert provenance.fingerprint(one) != provenance.fingerprint(other)


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("from gpex_bench import Explainer, settings", "types/__init__", "library/wrapping"),
        (
            "import gpex_bench as gb\ngb.settings(gb.Explainer)",
            "types/__init__",
            "library/wrapping",
        ),
        ("import gpex_bench\ngpex_bench.wrap", "library/wrapping", "library/scoring"),
        ("from gpex_bench import types, arrays as made", "data/files/arrays", "library/scoring"),
        ("from gpex_bench import *", "library/scoring", "cli/running"),
    ],
)
def test_public_names_lead_to_their_modules_and_no_further(tmp_path, text, wanted, unwanted):
    path = tmp_path / "mine.py"
    path.write_text(text)
    covered = {str(one) for one in provenance.sources(path)}
    assert str(registry.PACKAGE / f"{wanted}.py") in covered
    assert str(registry.PACKAGE / f"{unwanted}.py") not in covered
    assert str(registry.PACKAGE / "__init__.py") not in covered


def test_a_file_that_is_not_python_still_has_a_fingerprint(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import (\n")
    assert len(provenance.fingerprint(path)) == 16


@settings
class Reader:
    """Settings of something that reads files."""

    file: str
    other: str = "other.bin"

    @property
    def reads(self):
        return (self.file, self.other)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.bin").write_bytes(b"one")
    (tmp_path / "other.bin").write_bytes(b"other")
    return tmp_path


def test_content_counts_and_dates_do_not(files):
    before = provenance.content(["one.bin", "other.bin"])
    assert before["one.bin"] == hashlib.sha256(b"one").hexdigest()
    os.utime(files / "one.bin", (1, 1))
    assert provenance.content(before) == before
    (files / "one.bin").write_bytes(b"two")
    after = provenance.content(before)
    assert after["one.bin"] != before["one.bin"] and after["other.bin"] == before["other.bin"]


def test_of_a_folder_names_and_contents_count(files):
    folder = files / "photos"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat/1.png").write_bytes(b"cat")
    seen = [provenance.content(["photos"])["photos"]]
    for change in (
        lambda: (folder / "cat/1.png").rename(folder / "cat/2.png"),
        lambda: (folder / "cat/2.png").write_bytes(b"cats"),
        lambda: (folder / "cat/3.png").write_bytes(b""),
    ):
        change()
        seen.append(provenance.content(["photos"])["photos"])
    assert len(set(seen)) == len(seen)
    (folder / ".DS_Store").write_bytes(b"x")
    os.utime(folder / "cat/3.png", (1, 1))
    assert provenance.content(["photos"])["photos"] == seen[-1]


def test_a_file_that_is_not_there_is_named(files):
    with pytest.raises(ValueError, match="none.bin cannot be read"):
        provenance.content(["none.bin"])


def test_settings_are_described_with_content_and_without_folders(files, tmp_path_factory):
    here = provenance.described(Reader(file="one.bin"))
    assert "file='one.bin'" in here and hashlib.sha256(b"one").hexdigest() in here
    assert provenance.described(Reader(file=str(files / "one.bin"))) == here

    elsewhere = tmp_path_factory.mktemp("elsewhere") / "one.bin"
    shutil.copy(files / "one.bin", elsewhere)
    assert provenance.described(Reader(file=str(elsewhere))) == here

    shown = card("dataset", "own", Reader(file=str(elsewhere)))["hyperparameters"]
    assert shown == {"file": "'one.bin'", "other": "'other.bin'"}

    (files / "other.bin").write_bytes(b"changed")
    assert provenance.described(Reader(file="one.bin")) != here


def test_nothing_in_the_environment_names_this_machine():
    text = str(provenance.environment())
    assert str(Path.home()) not in text
    assert provenance.platform.node() not in text or len(provenance.platform.node()) < 4

"""The tables of where a run's time goes, on a run of three jobs that is known."""

import os

import pytest

from gpex_bench.plugins.registry import ROOT, load

default_run = load(ROOT / "benchmarks" / "default_run.py", "default_run")
HEAD = "s\th:m:s\tcpu_time\n"


@pytest.fixture
def run(tmp_path):
    """Two cores: one job of 100 s, and beside it two of 25 s from its start."""
    ends = {"fit/shapes/resnet/gpex": 100, "score/shapes/resnet/lime": 25, "score/d/cnn/lime": 50}
    for name, end in ends.items():
        path = tmp_path / "benchmarks" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        seconds = 100 if name.startswith("fit") else 25
        path.write_text(f"{HEAD}{seconds}\t0:0:0\t0\n")
        os.utime(path, (1000 + end, 1000 + end))
    return tmp_path


def test_seconds_are_summed_by_rule_and_network(run):
    table = default_run.by_rule(default_run.jobs_of(run))
    assert table.loc["score", "shapes/resnet"] == 25
    assert table.loc["score", "all"] == 50
    assert table.loc["all", "all"] == 150


def test_a_core_without_a_job_is_idle(run):
    idle = default_run.idle(default_run.jobs_of(run), cores=2)["idle"]
    assert idle[:5].max() == pytest.approx(0)
    assert idle[5:].min() == pytest.approx(0.5)


def test_ratios_are_over_the_jobs_that_both_runs_have(run, tmp_path):
    before = tmp_path / "jobs.csv"
    before.write_text("job,seconds\nscore/d/cnn/lime.tsv,50\nscore/gone/cnn/lime.tsv,900\n")
    table = default_run.ratios(default_run.jobs_of(run), default_run.stored(before))
    assert table.loc["all", "ratio"] == 0.5
    assert table.loc["all", "jobs"] == 1

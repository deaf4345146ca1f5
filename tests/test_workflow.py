"""The workflow as its users meet it.

Run, run again, edit, drop in, break, repair; in a copy of the tree.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.vocabulary.clone import Clone

pytestmark = pytest.mark.slow
NETWORKS = 3  # one of them with an attention that the surrogate stands in for
DOWNSTREAM = {"aggregate": 1, "draw": 1, "report": 1, "all": 1}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    clone = Clone(tmp_path_factory.mktemp("clone"))
    clone.first_output = clone.run("--cores", "2")
    return clone


def edit(path: Path, text: str = "\n# edited\n") -> None:
    path.write_text(path.read_text() + text)


def test_from_nothing_to_the_report(clone):
    assert "steps (100%) done" in clone.first_output
    assert (clone.folder / "results/smoke/report.html").stat().st_size > 10_000
    assert (clone.table("cells")["status"] == "ok").sum() > 0
    assert "Training mlp on breast_cancer, seed 1" in clone.first_output


def test_again_does_nothing_and_says_so(clone):
    assert "Nothing to be done" in clone.run("--cores", "2")


def test_touching_files_re_runs_nothing(clone):
    for path in [*clone.folder.glob("methods/*.py"), *clone.folder.glob("gpex_bench/**/*.py")]:
        path.touch()
    (clone.folder / "results/smoke/shapes/data.safetensors").touch()
    assert clone.planned() == {}


def test_editing_a_summary_of_curves_re_runs_no_score_job(clone):
    path = clone.folder / "gpex_bench/metrics/srg.py"
    before = path.read_text()
    edit(path)
    assert clone.planned() == DOWNSTREAM
    path.write_text(before)
    assert clone.planned() == {}


def test_editing_a_metric_re_runs_exactly_its_score_jobs(clone):
    path = clone.folder / "gpex_bench/metrics/infidelity.py"
    before = path.read_text()
    edit(path)
    # gradient_x_input and random_map on all networks, the oracle on both of shapes; gpex_neighbours
    # has no infidelity
    assert clone.planned() == {"score": 2 * NETWORKS + 2} | DOWNSTREAM
    path.write_text(before)
    assert clone.planned() == {}


def test_editing_a_method_re_runs_exactly_its_jobs(clone):
    path = clone.folder / "methods/gradient_x_input.py"
    before = path.read_text()
    edit(path)
    assert clone.planned() == {"explain": NETWORKS, "score": NETWORKS} | DOWNSTREAM
    path.write_text(before)


def test_changing_a_hyperparameter_re_runs_what_depends_on_it(clone):
    config = clone.config("changed.yaml", surrogates={"gpex": {"n_steps": 21}})
    planned = clone.planned(config)
    assert {name: planned.get(name) for name in ("train", "fit", "agree", "explain", "score")} == {
        "train": None,
        "fit": NETWORKS,
        "agree": NETWORKS,
        "explain": NETWORKS
        - 1,  # gpex_neighbours alone looks at the surrogate, and not where it is the attention's
        "score": NETWORKS - 1,
    }


def test_one_core_gives_the_same_bytes_as_two(clone):
    before = clone.digests()
    assert len(before) > 20
    shutil.move(clone.folder / "results/smoke", clone.folder / "kept")
    clone.run("--cores", "1")
    after = clone.digests()
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()


TEMPLATE = '''
import torch

from gpex_bench.types import Attribution, Explainer, settings


@settings
class {name}(Explainer):
    """A method of the tests."""

    reference = "none"
    kind = "control"
    relative_to = "nothing"
    cost = "none"

    def explain(self, task, query):
        values = torch.ones_like(query.x)
        {body}
        return Attribution(values=values)
'''
BROKEN = {
    "crashes": ("raise RuntimeError('out of luck')", "out of luck"),
    "wrong_shape": ("values = values[:, :1]", "shape"),
    "not_finite": ("values[0] = float('nan')", "NaN"),
    "global_random": ("torch.rand(1)", "random state"),
    "unreadable": ("import (", "cannot be imported"),
    "undeclared": ("pass", "lacks the class attribute 'kind'"),
}


@pytest.fixture(scope="module")
def dropped(clone):
    """Drop in a good method, one from a third-party package, and broken ones; run."""
    methods = clone.folder / "methods"
    (methods / "newcomer.py").write_text(
        TEMPLATE.format(name="Newcomer", body="values = query.x * 2.0")
    )
    for name, (body, _) in BROKEN.items():
        text = TEMPLATE.format(name="Broken", body=body)
        (methods / f"{name}.py").write_text(
            text.replace("kind =", "kin =") if name == "undeclared" else text
        )
    (clone.folder / "third_party.py").write_text(TEMPLATE.format(name="Third", body="pass"))
    info = clone.folder / "third_party-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gpex_bench.explainers]\nthird = third_party:Third\n")
    config = clone.config("dropped.yaml", methods=dict.fromkeys(["newcomer", "third", *BROKEN]))
    planned = clone.planned(config)
    clone.run("--cores", "2", config=config)
    yield planned
    for name in ["newcomer", *BROKEN]:
        (methods / f"{name}.py").unlink()
    shutil.rmtree(info)


def test_a_drop_in_runs_exactly_its_own_jobs(dropped):
    count = NETWORKS * (2 + len(BROKEN))
    assert dropped == {"explain": count, "score": count} | DOWNSTREAM


@pytest.mark.parametrize("name", ["newcomer", "third"])
def test_a_drop_in_appears_in_every_table(clone, dropped, name):
    assert (clone.table("cells").query("method == @name")["status"] == "ok").all()
    for table in ("scores", "curves", "outcomes"):
        assert name in set(clone.table(table)["method"]), table
    for path in (clone.folder / "results/smoke/tables").glob("*.csv"):
        if path.name == "faithful.csv":  # the drop-ins are controls, which are never faithful
            continue
        # few samples and seeds: nothing is ranked over networks, and some tables have no rows
        header, *rows = path.read_text().splitlines()
        if "method" in header.split(",") and rows:
            assert name in path.read_text(), path.name
    assert name in (clone.folder / "results/smoke/report.html").read_text()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_drop_in_reads_failed_with_the_reason(clone, dropped, name):
    cells = clone.table("cells").query("method == @name")
    assert len(cells) == NETWORKS
    assert set(cells["status"]) == {"failed"}
    assert cells["reason"].str.contains(BROKEN[name][1]).all(), cells["reason"].tolist()
    assert name not in set(clone.table("scores")["method"])
    assert clone.table("outcomes").query("method == @name")["mean"].isna().all()
    assert name in (clone.folder / "results/smoke/report.html").read_text()


def test_strict_turns_a_failure_into_an_error_after_the_report(clone, dropped):
    config = clone.config(
        "strict.yaml", strict=True, methods=dict.fromkeys(["newcomer", "crashes"])
    )
    output = clone.run("--cores", "2", config=config, fails=True)
    assert "out of luck" in output
    assert (clone.folder / "results/smoke/report.html").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {"srgg": None}}, "metrics.srgg: unknown metric 'srgg'. Did you mean 'srg'?"),
        ({"sedes": [1]}, "sedes: unknown key 'sedes'. Did you mean 'seeds'?"),
        ({"networks": []}, "networks: "),
        ({"methods": {"oracle": {"of": 1}}}, "methods.oracle.of: unknown parameter 'of'"),
    ],
)
def test_a_config_mistake_is_named_before_anything_runs(clone, changes, message):
    output = clone.run("-n", config=clone.config("wrong.yaml", **changes), fails=True)
    assert message in output
    assert "Traceback" not in output


def test_a_results_file_cut_in_half_is_named_and_repaired(clone):
    clone.run("--cores", "2")
    path = clone.folder / "results/smoke/shapes/resnet/seed-1/scores/random_map.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    output = clone.run("--cores", "1", fails=True)
    assert "random_map.parquet is damaged" in output
    assert "Delete it and run again" in output
    path.unlink()
    clone.run("--cores", "2")
    assert path.read_bytes() == whole


def test_a_killed_run_is_repaired_by_the_next(clone):
    networks = [{"dataset": "breast_cancer", "model": "mlp", "surrogates": ["gpex"]}]
    config = clone.config("killed.yaml", run="killed", networks=networks)
    process = clone.start("--cores", "2", config=config)
    until = time.monotonic() + 120
    while time.monotonic() < until and not list(
        clone.folder.glob("results/killed/*/*/seed-1/explanations/*")
    ):
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    clone.run("--unlock", config=config)
    clone.run("--cores", "2", config=config)
    assert not list(clone.folder.glob("results/killed/**/.*.partial"))
    whole = clone.table("scores").query("dataset == 'breast_cancer'").reset_index(drop=True)
    assert clone.table("scores", "killed").equals(whole)

"""An evaluation from a notebook: what it refuses, what it writes, and that it is the workflow's."""

import hashlib
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from torch import nn

import gpex_bench as gb
from gpex_bench.config import ConfigError
from gpex_bench.library import evaluating, starting
from gpex_bench.library.runs import MARKER, EvaluationFailed, Run, Tables
from gpex_bench.run import plan
from gpex_bench.run.alone import Failed, environment, make

FEW = {"methods": ["gradient_x_input", "random_map"], "metrics": ["srg", "sparseness"]}
NETWORK = '''
"""A network of two layers with weights that never change."""

import torch
from torch import nn


class Net(nn.Module):
    """Two layers."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        self.first = nn.Linear(6, 12)
        self.last = nn.Linear(12, 3)
        for weights in self.parameters():
            weights.data = torch.randn(weights.shape, generator=generator)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))
'''


def table(n_train=40, n_test=24):
    """Rows of six columns; every third one is of the same class."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n_train + n_test, 6, generator=generator)
    y = torch.arange(len(x)) % 3
    return gb.arrays(x[:n_train], y[:n_train], x[n_train:], y[n_train:], name="mine")


def loaded(path, source=NETWORK):
    """A network from a file that no other process can import by its name."""
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("net_of_a_test", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.Net()


@pytest.fixture
def net(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return loaded(tmp_path / "net_of_a_test.py")


def evaluate(net, data=None, **changes):
    """Evaluate with few methods and samples."""
    settings = {"samples": 6, "progress": False, "cores": 2, **FEW} | changes
    return gb.evaluate(net, data or table(), settings.pop("methods"), **settings)


# --- what is refused at once ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, error, words",
    [
        ({"methods": ["lpr"]}, ConfigError, "methods.lpr: unknown method 'lpr'.*'lrp'"),
        ({"methods": {"a": {"method": "lrp", "rule": 1}}}, ConfigError, r"methods\.a\.rule"),
        ({"methods": [3]}, ValueError, "methods must be names.*int 3"),
        ({"methods": []}, ConfigError, "methods: at least 1"),
        ({"metrics": ["srgg"]}, ConfigError, "metrics.srgg: unknown metric"),
        ({"surrogates": ["gpx"]}, ConfigError, "surrogates.gpx: unknown surrogate"),
        ({"headline": "mprt"}, ConfigError, "headline: unknown.*'mprt'"),
        ({"samples": 0}, ConfigError, "explain.samples: .*got 0"),
        ({"timeout": -1.0}, ConfigError, "explain.timeout_s: .*got -1"),
        ({"maps": {"mine": torch.zeros(5, 6)}}, ValueError, "each of the 24 test rows.* got 5"),
        ({"maps": {"mine": torch.zeros(24, 5)}}, ValueError, r"maps\['mine'\].*\(24, 6\).*5\)"),
        ({"maps": {"mine": {"maps": 3}}}, ValueError, r"maps\['mine'\] must have values"),
        ({"maps": {"lrp": torch.zeros(24, 6)}, "methods": ["lrp"]}, ValueError, "'lrp' twice"),
        (
            {"maps": {"mine": {"values": np.zeros((3, 6)), "sample": [900, 901, 902]}}},
            ValueError,
            "has no map of 6 of the 6 samples",
        ),
    ],
)
def test_what_does_not_fit_is_named_before_anything_is_written(
    net, tmp_path, changes, error, words
):
    with pytest.raises(error, match=words):
        evaluate(net, **changes)
    assert not (tmp_path / "results").exists()


def test_maps_of_rows_that_were_counted_are_not_taken_for_those_of_other_samples(tmp_path):
    data = gb.dataset("wine")
    net = nn.Sequential(nn.Linear(data.test.x.shape[1], 3))
    order = torch.arange(len(data.test.x)).flip(0)
    maps = gb.explain(net, data.test.x[order], "saliency", target=0)
    with pytest.raises(ValueError, match=r"maps\['mine'\]"):
        evaluating._stored("mine", maps, data).of(wanted(data), data)
    maps.save(tmp_path / "maps.safetensors")
    explainer = gb.method("precomputed", file=str(tmp_path / "maps.safetensors"))
    task = gb.Task(model=gb.wrap(net, data=data).model(), data=data, surrogate=None, seed=1)
    with pytest.raises(ValueError, match="made for other inputs|no map of"):
        explainer.explain(task, wanted(data))

    for x in (data.test.x, gb.Split(x=data.test.x, y=data.test.y, sample=data.test.sample)):
        own = gb.explain(net, x, "saliency", target=0)
        found = evaluating._stored("mine", own, data).of(wanted(data), data)
        assert torch.equal(found.values, own.values[:4])


def wanted(data):
    """The first test samples, as a query."""
    target = torch.zeros(4, dtype=torch.int64)
    return gb.Query(x=data.test.x[:4], target=target, sample=data.test.sample[:4])


def test_a_network_of_other_outputs_is_refused(net):
    data = gb.arrays(torch.randn(8, 6), [0, 1] * 4, torch.randn(4, 6), [0, 1] * 2, name="two")
    with pytest.raises(ValueError, match="3 outputs"):
        evaluate(net, data)


def test_a_network_that_cannot_be_sent_is_refused(net, tmp_path):
    net.log = (tmp_path / "open.txt").open("w")
    with pytest.raises(ValueError, match="network cannot be|cannot be copied|cannot pickle"):
        evaluate(net)
    assert not (tmp_path / "results").exists()
    net.log.close()


def test_folders_of_others_are_left_alone(net, tmp_path):
    folder = tmp_path / "results" / "mine"
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="has files that are no evaluation"):
            evaluate(net, overwrite=overwrite)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


# --- jobs, in this process ------------------------------------------------------------------------


def request(net, folder, **changes):
    """What an evaluation sends to its process."""
    sent = []

    class Unsent(Exception):
        pass

    def keep(one, overwrite, is_shown):
        sent.append(one)
        raise Unsent

    with pytest.MonkeyPatch.context() as patch:  # undone as well where evaluate refuses
        patch.setattr(evaluating, "start", keep)
        with pytest.raises(Unsent):
            evaluate(net, folder=folder, **changes)
    return sent[0]


def test_the_same_evaluation_has_the_same_identity_and_others_have_not(net, tmp_path):
    folder = tmp_path / "results" / "mine"
    first = starting.identity_of(request(net, folder))
    assert starting.identity_of(request(net, folder)) == first
    maps = torch.zeros(24, 6)
    others = [
        request(net, folder, samples=7),
        request(net, folder, methods=["gradient_x_input"]),
        request(net, folder, data=table(n_train=41)),
        request(net, folder, maps={"mine": maps}),
        request(net, folder, maps={"mine": maps + 1}),
    ]
    with torch.no_grad():
        net.last.bias[0] += 1e-3
    others.append(request(net, folder))
    assert len({first, *map(starting.identity_of, others)}) == len(others) + 1


FORMS = {
    "images": ((3, 8, 8), lambda n: torch.arange(n) % 3, 3),
    "classes": ((6,), lambda n: torch.arange(n) % 3, 3),
    "one logit": ((6,), lambda n: torch.arange(n) % 2, 1),
    "labels": ((6,), lambda n: torch.stack([torch.arange(n) % 2, torch.arange(n) % 3 % 2], 1), 2),
    "number": ((6,), lambda n: torch.linspace(0, 1.5, n), 1),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_quick_selections_fit_every_form_of_data(tmp_path, form):
    """Every method applies, but for those of images; and some metric is there to rank by."""
    shape, targets, n_outputs = FORMS[form]
    x = torch.rand(30, *shape, generator=torch.Generator().manual_seed(0))
    y = targets(30)
    data = gb.arrays(x[:20], y[:20], x[20:], y[20:], name=form)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(x[0].numel(), 5), nn.ReLU(), nn.Linear(5, n_outputs)
    )
    sent = request(net, tmp_path, data=data, methods=None, metrics=None, surrogates=["gpex"])
    made = sent.schedule().config
    (network,) = made.networks
    reasons = {name: made.not_applicable(network, name) for name in made.entries["method"]}
    assert {reason for reason in reasons.values() if reason} == set()

    of_curves, others = plan.metrics(made, network, "gradient_x_input")
    assert made.headline == "srg"
    assert made.headline in of_curves
    assert len(others) >= 3


def test_a_job_that_fails_ends_the_run_with_its_name_and_reason(net, tmp_path, monkeypatch):
    from gpex_bench.run import cells  # noqa: F401 - registers the jobs
    from gpex_bench.run.dispatch import JOBS

    def broken(this):
        raise OSError("No space left on device")

    sent = request(net, tmp_path / "results" / "mine")
    monkeypatch.setitem(JOBS, "explain", broken)
    said = []
    with pytest.raises(Failed, match=r"explain \w+: OSError: No space left"):
        make(sent, said.append)
    assert said[0] == {"total": 9}
    assert {"made": "train"} in said


def test_a_network_that_breaks_a_promise_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class Drawing(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(6, 3)

        def forward(self, x):
            return self.last(x + torch.rand_like(x))

    folder = tmp_path / "results" / "mine"
    with pytest.raises((Failed, ValueError), match="random"):
        make(request(Drawing(), folder), lambda message: None)
    assert not list(folder.rglob("model.safetensors"))


# --- a whole evaluation ---------------------------------------------------------------------------

PLUGINS = {
    "datasets/mine.py": '''
"""The data of a test."""

import torch

from gpex_bench.data.files.arrays import from_arrays
from gpex_bench.types import Need, Source, settings


@settings
class Mine(Source):
    """Rows of six columns."""

    offers = frozenset({Need.TABLE})

    def load(self):
        """Return the data."""
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(64, 6, generator=generator)
        y = torch.arange(len(x)) % 3
        return from_arrays(x[:40], y[:40], x[40:], y[40:], name="mine")
''',
    "models/net.py": '''
"""The network of a test."""

import importlib.util

from gpex_bench.models.given.wrapping import wrap
from gpex_bench.types import Architecture, Need, settings


@settings
class Known(Architecture):
    """A network from a file."""

    takes = frozenset({Need.TABLE})
    is_given = True

    def build(self, data):
        """Return the network."""
        spec = importlib.util.spec_from_file_location("net_of_a_test", "net_of_a_test.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return wrap(module.Net(), data.test.x)

    def train(self, data, seed, progress):
        """Return the network."""
        return self.build(data)
''',
}
WHOLE = {
    "methods": {
        "gradient_x_input": None,
        "kernel_shap": {"budget": 64},
        "doubled": {"method": "squared", "of": "gradient_x_input"},
        "random_map": None,
    },
    "metrics": {"srg": None, "infidelity": None, "max_sensitivity": None},
    "surrogates": {"last_layer": None},
}
# of what a file says of its making: not of what is in it
PROVENANCE = {"code", "created", "environment", "cost", "inputs", "params"}


def files(folder):
    """The content of each file of a run but its report, by name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        others = ("logs", "benchmarks", MARKER, "report.html")
        if path.is_dir() or path.name.startswith(".") or name.startswith(others):
            continue
        content = path.read_bytes()
        if path.suffix == ".json" and isinstance(record := json.loads(content), dict):
            kept = {key: entry for key, entry in record.items() if key not in PROVENANCE}
            content = json.dumps(kept).encode()
        found[name] = hashlib.sha256(content).hexdigest()
    return found


@pytest.mark.slow
def test_it_writes_what_the_workflow_writes(net, tmp_path):
    """The same files with the same bytes, after the calling process has used several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    square = torch.randn(700, 700)
    (square @ square).sum()
    state = torch.get_rng_state()
    run = gb.evaluate(net, table(), samples=6, progress=False, cores=2, **WHOLE)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)

    for name, source in PLUGINS.items():
        (tmp_path / "plugins" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plugins" / name).write_text(source)
    config = {
        "run": "theirs",
        "seeds": [1],
        "plugins": ["plugins"],
        "explain": {"samples": 6, "timeout_s": 900.0},
        "networks": [{"dataset": "mine", "model": "net", "surrogates": ["last_layer"]}],
        "datasets": {"mine": None},
        "models": {"net": None},
        **WHOLE,
    }
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    command = "from gpex_bench.run.workflow import run; raise SystemExit(run('theirs.yaml', 2))"
    subprocess.run([sys.executable, "-c", command], env=environment(), check=True, timeout=600)

    ours, theirs = files(tmp_path / "results/mine"), files(tmp_path / "results/theirs")
    assert set(ours) == set(theirs)
    timed = ("tables/costs.json", "tables/surrogate_costs.json", "summary.md", "figures/cost_")
    differing = [name for name in ours if ours[name] != theirs[name]]
    assert [name for name in differing if not name.startswith(timed)] == []
    assert run.is_done


@pytest.mark.slow
def test_an_evaluation_in_the_background_is_stopped_resumed_and_read(net, tmp_path):
    data = table()
    maps = gb.explain(net, data.test, "gradient_x_input", data=data)
    run = evaluate(net, maps={"mine": maps}, background=True)
    assert not run.is_done
    with pytest.raises(ValueError, match="is being written"):
        evaluate(net, maps={"mine": maps}, overwrite=True)
    run.cancel()
    assert run.progress == "cancelled"
    with pytest.raises(EvaluationFailed, match="cancelled"):
        _ = run.tables

    run = evaluate(net, maps={"mine": maps})
    assert run.progress == "finished"
    scores = run.scores.pivot(index=["metric", "sample"], columns="method", values="score")
    assert np.allclose(scores["mine"], scores["gradient_x_input"], rtol=0, atol=1e-6)

    # The same call is done already, and another one is refused.
    report = run.report.read_bytes()
    again = evaluate(net, maps={"mine": maps})
    assert again.is_done
    assert again.report.read_bytes() == report
    with pytest.raises(ValueError, match="another evaluation.*overwrite=True"):
        evaluate(net)

    assert set(run.ranking["method"]) == {"mine", "gradient_x_input", "random_map"}
    assert isinstance(run.ranking, pd.DataFrame)
    assert "report.html" in run._repr_html_()
    assert Run(tmp_path / "results/mine").is_done


def test_tables_are_a_mapping(tmp_path):
    for name in ("scores", "cells"):
        (tmp_path / f"{name}.parquet").touch()
    assert list(Tables(tmp_path)) == ["cells", "scores"] and len(Tables(tmp_path)) == 2
    with pytest.raises(KeyError, match="tables: cells, scores"):
        Tables(tmp_path)["score"]

"""Jobs of single cells: which failures end the job, and which are results."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from gpex_bench import config
from gpex_bench.contract import toys
from gpex_bench.run import artefacts, cells
from gpex_bench.run.job import Job, NotTrained, SeedTask, load_model
from gpex_bench.types import Need, Recipe
from gpex_bench.types.demands import DamagedCheckpoint, ForeignCheckpoint

SMOKE = Path(__file__).parents[2] / "config" / "smoke.yaml"


class Breaking(Recipe):
    """A fit that ends with an error."""

    def __init__(self, error):
        self.error = error

    def fit(self, model, data, seed, progress):
        raise self.error

    def restore(self, model, data, state):
        raise NotImplementedError


class Fit(Job):
    """As much of a job as the rule `fit` looks at."""

    def __init__(self, error, output):
        (_, task, _), *_ = toys.tasks(toys.Linear)
        self.network, self.data = task.model, task.data
        self.config = SimpleNamespace(
            surrogate=lambda name: Breaking(error), seeds_of=lambda model: (3,)
        )
        self.wildcards, self.name = {"model": "linear", "surrogate": "gpex"}, "fit"
        self.output, self.described = output, []

    def model(self, path):
        return self.network

    def paths(self, name):
        return [self.output]

    def describe(self, path, **entries):
        self.described.append(entries)


@pytest.mark.parametrize("kind", [DamagedCheckpoint, ForeignCheckpoint])
def test_a_checkpoint_that_cannot_be_resumed_ends_the_job_whatever_it_says(tmp_path, kind):
    output = tmp_path / "gpex.safetensors"
    with pytest.raises(kind, match="gpex.safetensors.checkpoint"):
        cells.fit(Fit(kind("Any words at all."), output))
    assert not output.exists()


@pytest.mark.parametrize(
    "words",
    [
        "The checkpoint of this fit was made with other settings",
        "gpex.safetensors.checkpoint is damaged: it cannot be read",
    ],
)
def test_another_error_is_a_result_whatever_it_says(tmp_path, words):
    output = tmp_path / "gpex.safetensors"
    job = Fit(ValueError(words), output)
    cells.fit(job)
    assert job.described[0]["status"] == "failed"
    artefacts.describe(output, kind="surrogate")
    tensors, note = artefacts.read_tensors(output)
    assert tensors == {}
    assert words in note["reason"]


# --- explanations ---------------------------------------------------------------------------------


class Explain(Job):
    """As much of a job as the rule `explain` looks at."""

    def __init__(self, one, output, needs=frozenset()):
        explainer = toys.Known() if not needs else Needy()
        self.config = SimpleNamespace(
            method=lambda name: explainer, explain=SimpleNamespace(samples=3, timeout_s=60.0)
        )
        self.wildcards, self.name = {"method": "known"}, "explain"
        self.one, self.output = one, output
        self.predicted = None  # the samples are drawn by what the network predicts

    def tasks(self):
        return [self.one]

    def paths(self, name):
        return [self.output]

    def describe(self, path, **entries):
        artefacts.describe(path, **{"kind": "explanation"} | entries)


class Needy(toys.Known):
    needs = frozenset({Need.MODULES})


def explained(one, folder, needs=frozenset()):
    """Return what the job stores of a seed."""
    output = folder / "known.safetensors"
    cells.explain(Explain(one, output, needs))
    return artefacts.read_explanation(output)


def test_a_cell_without_its_network_is_not_computed(tmp_path):
    reason = "the network cannot be used: its loss diverged"
    stored = explained(SeedTask(3, None, "failed", reason), tmp_path)
    assert stored.explanation is None
    assert stored.query == {}
    assert (stored.note["status"], stored.note["reason"]) == ("failed", reason)
    assert stored.note["n_samples"] == 0


def test_a_need_that_the_network_withdraws_makes_the_cell_not_applicable(tmp_path):
    (_, task, _), *_ = toys.tasks(toys.Linear)
    one = SeedTask(3, task, withdrawn={"modules": "`sort` in trunk.1 (Sorter) is not known."})
    stored = explained(one, tmp_path, Needy.needs)
    assert stored.explanation is None
    assert stored.note["status"] == "not_applicable"
    assert stored.note["reason"] == "needs modules; `sort` in trunk.1 (Sorter) is not known."
    assert explained(one, tmp_path).note["status"] == "ok"


def test_a_cell_stores_how_much_of_its_sums_is_missing(tmp_path):
    (_, task, _), *_ = toys.tasks(toys.Linear)
    note = explained(SeedTask(3, task), tmp_path).note
    assert note["worst_missing"] == note["median_missing"] == 0


def test_a_network_that_cannot_be_used_is_read_as_such(tmp_path):
    path = tmp_path / "model.safetensors"
    artefacts.write_tensors(path, {}, {"status": "failed", "reason": "it broke a promise"})
    artefacts.describe(path, kind="model")
    with pytest.raises(NotTrained, match="failed: it broke a promise"):
        load_model(config.load(SMOKE), "mlp", toys.dataset("table"), path)

"""Jobs of single cells: which failures end the job, and which are results."""

from types import SimpleNamespace

import pytest

from gpex_bench.contract import toys
from gpex_bench.run import artefacts, cells
from gpex_bench.run.job import Job
from gpex_bench.types import Recipe
from gpex_bench.types.demands import DamagedCheckpoint, ForeignCheckpoint


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
        self.config = SimpleNamespace(surrogate=lambda name: Breaking(error), seeds=[3])
        self.wildcards, self.name = {"surrogate": "gpex"}, "fit"
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

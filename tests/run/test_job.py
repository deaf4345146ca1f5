"""A job says what its outputs belong to, and what they were made from."""

from types import SimpleNamespace

import pytest
import torch

from gpex_bench.run import aggregate, artefacts, pages, status_rows
from gpex_bench.run.job import Job
from gpex_bench.run.orders import Order

CONFIG = {
    "run": "known",
    "seeds": [1, 2],
    "networks": [{"dataset": "shapes", "model": "cnn"}],
    "datasets": {"shapes": None},
    "models": {"cnn": None},
    "methods": {"lrp": None},
    "metrics": {"srg": None},
}


class Files(dict):
    """Named files of a rule: iterating gives the files, as Snakemake's do."""

    def __iter__(self):
        for files in self.values():
            yield from [files] if isinstance(files, str) else files


def job(inputs, outputs, **wildcards):
    """The job of a rule that Snakemake runs."""
    snakemake = SimpleNamespace(
        rule="explain",
        wildcards=wildcards,
        config=CONFIG,
        input=Files(inputs),
        output=Files(outputs),
        params={"code": "abc", "settings": 3},
    )
    return Job(Order.of(snakemake))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three networks of two seeds in one folder, named as nothing else in the house."""
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2):
        path = tmp_path / f"{'ab'[seed - 1]}.safetensors"
        artefacts.write_tensors(path, {"x": torch.zeros(1)}, {"accuracy": seed / 10})
        key = {"dataset": "shapes", "model": "cnn", "seed": seed, "surrogate": "gpex"}
        cost = {"wall_seconds": 1.0 * seed, "peak_bytes": seed}
        artefacts.describe(path, kind="model", key=key, cost=cost, status="ok", reason="")
    return tmp_path


def test_a_sidecar_names_the_inputs_of_its_seed_wherever_they_are(folder):
    files = {"models": ["a.safetensors", "b.safetensors"]}
    this = job(files, {"explanations": ["out"]}, dataset="shapes", model="cnn", method="lrp")
    path = folder / "seed-1" / "lrp.safetensors"
    artefacts.write_tensors(path, {})
    this.describe(path, seed=2, kind="explanation")
    record = artefacts.read_sidecar(path)
    assert list(record["inputs"]) == ["b.safetensors"]
    assert record["key"] == {"dataset": "shapes", "model": "cnn", "method": "lrp", "seed": 2}
    assert record["params"] == {"settings": "3"}
    assert record["code"]["fingerprint"] == "abc"

    this.describe(path, kind="explanation", key={"network": "sibling"})
    record = artefacts.read_sidecar(path)
    assert list(record["inputs"]) == ["a.safetensors", "b.safetensors"]
    assert artefacts.read_key(path)["network"] == "sibling"
    assert "seed" not in record["key"]


def test_fits_and_networks_are_told_apart_by_their_keys(folder):
    files = {"surrogates": ["b.safetensors", "a.safetensors"], "models": "a.safetensors"}
    this = job(files, {})
    fates, costs = status_rows.fit_rows(this)
    assert [fate["seed"] for fate in fates] == [2, 1]
    assert list(fates[0]) == ["dataset", "model", "seed", "surrogate", "status", "reason"]
    assert costs[1]["wall_seconds"] == 1.0
    (network,) = aggregate._networks(this)
    assert (network["dataset"], network["seed"], network["accuracy"]) == ("shapes", 1, 0.1)


def test_paths_are_outputs_first(folder):
    this = job({"data": "in", "models": ["a", "b"]}, {"data": "out"})
    assert this.path("data").name == "out"
    assert [path.name for path in this.paths("models")] == ["a", "b"]
    assert [path.name for path in this.paths("data")] == ["out"]


@pytest.mark.parametrize("lost", [[], ["The explanations of cnn on shapes could not be drawn."]])
def test_a_strict_run_counts_figures_that_could_not_be_drawn(folder, monkeypatch, lost):
    monkeypatch.setattr(pages, "fit_rows", lambda this: ([], []))
    artefacts.write_json(folder / "figures" / "lost.json", lost)
    files = {"tables": [], "figures": str(folder / "figures")}
    this = job(files, {"done": str(folder / "strict.txt")})

    if lost:
        with pytest.raises(RuntimeError, match="could not be drawn"):
            pages.strict(this)
    else:
        pages.strict(this)
    assert (folder / "strict.txt").is_file() == (not lost)

"""`gpex-bench check`: a config held to its files, what applies, and what the run will be."""

import re
from pathlib import Path

import pytest
import yaml

from gpex_bench import cli, config
from gpex_bench.cli import planned
from tests.vocabulary.clone import Clone

ROOT = Path(__file__).parents[2]
TINY = {
    "run": "tiny",
    "seeds": [1, 2],
    "explain": {"samples": 6, "robustness_samples": 2},
    "networks": [{"dataset": "table", "model": "mlp", "surrogates": ["gpex"]}],
    "datasets": {"table": {"dataset": "breast_cancer"}},
    "models": {"mlp": None},
    "surrogates": {"gpex": None},
    "methods": {"gradient_x_input": None, "gpex_neighbours": None, "rise": None},
    "metrics": {"srg": None, "class_purity": None, "rank_accuracy": None},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checked(capsys, *arguments: str, **changes) -> tuple[int, str]:
    """Return the status and all text of a check of the tiny config with other sections."""
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY | changes, sort_keys=False))
    status = cli.main(["check", *arguments, "--config", "tiny.yaml"])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_a_config_that_fits_says_what_the_run_will_be(capsys):
    status, text = checked(capsys)
    assert status == 0
    assert "datasets.table: fits.\n  455 training and 114 test rows of 30" in text
    assert "models.mlp on table: fits; is trained by the run." in text
    assert "methods that apply to mlp on table: 2 (gradient_x_input, gpex_neighbours)" in text
    assert "not rise: needs image" in text
    assert "not rank_accuracy of gradient_x_input: needs truth" in text
    # two methods on the networks of two seeds
    assert "run tiny: 4 cells" in text
    assert not Path("results").exists()


def test_a_run_id_restricts_the_check(capsys):
    status, text = checked(capsys, "gradient_x_input")
    assert (status, text) == (0, "methods.gradient_x_input: keeps every promise.\n")
    status, text = checked(capsys, "table")
    assert status == 0 and "datasets.table: fits." in text and "methods that apply" not in text


def test_a_run_id_that_is_not_there_is_named(capsys):
    status, text = checked(capsys, "tabel")
    assert status == 2 and "run id or plug-in 'tabel'" in text and "table" in text


def test_data_that_cannot_be_read_is_refused_and_the_rest_is_checked(capsys):
    datasets = TINY["datasets"] | {
        "images": {"dataset": "cifar10", "download": False, "root": "nowhere"}
    }
    networks = [*TINY["networks"], {"dataset": "images", "model": "cnn"}]
    models = TINY["models"] | {"cnn": None}
    status, text = checked(capsys, datasets=datasets, networks=networks, models=models)
    assert status == 1
    assert re.search(r"^datasets.images: .*nowhere", text, re.MULTILINE)
    assert "does not fit yet" in text and "run tiny: " not in text
    assert "models.mlp on table: fits" in text and "Traceback" not in text


def test_what_is_checked_must_be_named(capsys):
    assert cli.main(["check"]) == 2
    assert "--config" in capsys.readouterr().err


@pytest.mark.slow
def test_the_jobs_that_are_announced_are_those_of_the_workflow(tmp_path):
    jobs = planned.jobs(config.load(ROOT / "config/smoke.yaml"))
    found = Clone(tmp_path).planned()
    assert jobs == {rule: found[rule] for rule in jobs}
    assert {"prepare", "train", "fit", "agree", "explain", "score"} == set(jobs)


@pytest.mark.parametrize(
    ("file", "content", "part"),
    [
        ("small.pt", b"", "small.pt is empty"),
        ("small.pt", b"no weights at all", "small.pt"),
        ("photos.npz", b"", "photos.npz"),
    ],
)
def test_broken_files_are_refused_by_name(file, content, part, brought, capsys):
    assert cli.main(["init", "mine"]) == 0
    (brought / file).write_bytes(content)
    capsys.readouterr()
    assert cli.main(["check", "--config", "mine"]) in (1, 2)
    captured = capsys.readouterr()
    assert part in captured.err and "Traceback" not in captured.err


def test_weights_of_another_network_are_refused_with_key_and_shape(brought, capsys):
    import torch

    assert cli.main(["init", "mine"]) == 0
    state = torch.load("small.pt", weights_only=True)
    state["linear.weight"] = torch.zeros(3, 7)
    del state["block.conv1.bias"]
    torch.save(state, brought / "small.pt")
    capsys.readouterr()
    assert cli.main(["check", "--config", "mine"]) == 1
    message = capsys.readouterr().err
    for part in ("models.small on photos: ", "linear.weight", "7", "6", "block.conv1.bias"):
        assert part in message


def test_maps_without_a_sample_of_the_run_are_refused(brought, capsys):
    import numpy as np

    assert cli.main(["init", "mine"]) == 0
    np.savez("maps.npz", values=np.ones((2, 3, 12, 12)), sample=[0, 1])
    line = "\n  own: {method: precomputed, file: maps.npz}\n"
    text = Path("mine.yaml").read_text().replace("\n  random_map:", line + "  random_map:")
    Path("mine.yaml").write_text(text)
    capsys.readouterr()
    assert cli.main(["check", "own", "--config", "mine"]) == 1
    text = capsys.readouterr().out
    assert "not own: maps.npz has no map of 13 of the 15 samples" in text


def test_plugins_of_a_folder_are_listed_and_checked(folder, capsys):
    place = folder / "own" / "metrics"
    place.mkdir(parents=True)
    text = (ROOT / "gpex_bench/metrics/sparseness.py").read_text()
    (place / "my_sparseness.py").write_text(text)
    (place / "broken.py").write_text("import nothing_of_this_name\n")
    metrics = TINY["metrics"] | {"my_sparseness": None}
    status, text = checked(capsys, plugins=["own"], metrics=metrics)
    assert status == 0 and "metrics.my_sparseness: keeps every promise." in text

    assert cli.main(["list", "metric", "--config", "tiny"]) == 0
    listed = capsys.readouterr().out
    assert "my_sparseness: " in listed and "nothing_of_this_name" in listed
    assert cli.main(["check", "broken", "--config", "tiny"]) == 2
    assert "nothing_of_this_name" in capsys.readouterr().err

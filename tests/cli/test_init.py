"""`gpex-bench init`: what it finds in a folder, and that the config that it writes fits."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from gpex_bench import cli, config
from gpex_bench.cli.starting import networks


def written(capsys, *arguments: str) -> dict:
    """Return the config that init writes with these arguments."""
    status = cli.main(["init", "mine", *arguments])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return yaml.safe_load(Path("mine.yaml").read_text())


def refused(capsys, *arguments: str) -> str:
    """Return the message of an init that refuses, and leaves no file behind."""
    before = set(Path().iterdir())
    assert cli.main(["init", *arguments]) == 2
    assert set(Path().iterdir()) == before
    return capsys.readouterr().err


@pytest.mark.usefixtures("brought")
def test_files_in_the_folder_are_found_and_fit(capsys):
    raw = written(capsys)
    assert raw["datasets"] == {"photos": {"dataset": "arrays", "file": "photos.npz"}}
    assert raw["models"] == {
        "small": {"model": "pretrained", "build": "networks.py:small", "weights": "small.pt"}
    }
    assert cli.main(["check", "--config", "mine"]) == 0
    text = capsys.readouterr().out
    assert "given, not trained: accuracy" in text and "on 15 test rows" in text
    assert "addition" in text and "reshaping" in text
    # every method and metric that is written applies
    assert f"methods that apply to small on photos: {len(raw['methods'])} " in text
    assert f"metrics that apply to small on photos: {len(raw['metrics'])} " in text


@pytest.mark.usefixtures("brought")
def test_arguments_follow_from_the_data_and_others_are_gaps(capsys):
    raw = written(capsys, "--network", "networks.py:SmallResNet", "--normalise", ".5/.25")
    model = raw["models"]["small_res_net"]
    assert model["arguments"] == {"width": "FILL_IN", "num_classes": 3}
    assert model["normalise"] == {"mean": [0.5], "std": [0.25]}
    # the network cannot be built with a gap, which check says
    assert cli.main(["check", "--config", "mine"]) == 1
    assert "models.small_res_net on photos: " in capsys.readouterr().err


def test_the_object_is_no_argument_whatever_it_is_called(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(this, width):\n        super().__init__()\n"
    )
    (found,) = networks._builders(path)
    assert (found.name, found.required) == ("Net", ("width",))


@pytest.mark.usefixtures("brought")
def test_a_config_is_never_replaced_unasked(capsys):
    Path("mine.yaml").write_text("run: mine\n")
    assert "already there" in refused(capsys, "mine")
    assert Path("mine.yaml").read_text() == "run: mine\n"
    assert "datasets" in written(capsys, "--force")


@pytest.mark.usefixtures("brought")
def test_what_could_be_several_is_asked_for(capsys):
    torch.save({}, "other.pt")
    assert "--weights must say" in refused(capsys, "mine")
    Path("other.pt").unlink()
    pd.DataFrame({"a": [1, 2]}).to_csv("table.csv", index=False)
    message = refused(capsys, "mine")
    assert "--data must say" in message and "photos.npz, table.csv" in message


@pytest.mark.usefixtures("brought")
@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("My-Run",), "NAME must be small letters"),
        (("mine", "--data", "none.npz"), "none.npz"),
        (("mine", "--network", "none.py:Net"), "none.py cannot be read"),
        (("mine", "--normalise", "half"), "--normalise must be imagenet"),
        (("mine", "--target", "y"), "--target is the column of a .csv"),
        (("nowhere/mine",), "no folder nowhere"),
    ],
)
def test_wrong_options_are_refused_by_name(arguments, part, capsys):
    assert part in refused(capsys, *arguments)


def test_without_data_it_is_a_template(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    raw = written(capsys)
    assert raw["models"]["network"]["build"] == "my_network.py:Net"
    with pytest.raises(config.ConfigError, match="my_data.npz"):
        config.load(Path("mine.yaml"))


def test_tables_of_other_countries_are_read(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    table = pd.DataFrame({"size": draw.normal(size=40), "place": ["town", "sea"] * 20})
    table["rent"] = table["size"] * 10 + draw.normal(size=40)
    table.to_csv("rents.csv", index=False, sep=";", decimal=",")
    raw = written(capsys, "--target", "rent")
    assert raw["datasets"]["rents"] == {
        **{"dataset": "csv", "file": "rents.csv", "target": "rent"},
        **{"separator": ";", "decimal": ","},
    }
    assert raw["metrics"]["srg"] == {"output": "logit"}
    assert config.load(Path("mine.yaml")).networks[0].model == "mlp"


def test_arrays_of_other_names_and_without_a_split_are_recognised(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).random((40, 5), dtype=np.float32)
    np.savez("all.npz", data=x, labels=np.arange(40) % 2)
    raw = written(capsys)
    assert raw["datasets"]["all"]["test"] == 0.2
    assert raw["datasets"]["all"]["keys"] == {"x": "data", "y": "labels"}


def test_a_table_with_gaps_is_written_with_what_is_to_be_mended(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("a,b,y\n1,2,0\n,3,1\n2,2,0\n3,1,1\n")
    assert cli.main(["init", "mine"]) == 0
    assert "to be mended: column a has 1 missing entries" in capsys.readouterr().out
    assert "to be mended" in Path("mine.yaml").read_text()

"""`gpex-bench explain` and `score`: files and pictures of maps, and maps from files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from gpex_bench import cli
from gpex_bench import config as configs
from gpex_bench.library.explaining import explain
from gpex_bench.library.scoring import score
from gpex_bench.stages.queries import queries


@pytest.fixture
def mine(brought, capsys):
    """The config of what the user brought."""
    assert cli.main(["init", "mine"]) == 0
    capsys.readouterr()
    return brought


def network_and_data():
    config = configs.load(Path("mine.yaml"))
    data = config.dataset("photos").load()
    return config, config.model("small").train(data, 1, lambda _: None), data


@pytest.mark.usefixtures("mine")
def test_maps_of_samples_are_those_of_the_library(capsys):
    command = ["explain", "-c", "mine", "--method", "integrated_gradients", "--samples", "3,11"]
    assert cli.main([*command, "--out", "two.npz", "two.png", "two.npy"]) == 0
    assert "explained: 3: " in capsys.readouterr().out

    config, model, data = network_and_data()
    method = config.method("integrated_gradients")
    expected = explain(model, data.test.x[[3, 11]], method, data=data, sample=[3, 11], seed=1)
    np.testing.assert_allclose(np.load("two.npy"), expected.numpy(), atol=1e-6)
    with np.load("two.npz") as stored:
        assert stored["sample"].tolist() == [3, 11]
        np.testing.assert_array_equal(stored["values"], np.load("two.npy"))
    with Image.open("two.png") as picture:
        assert picture.size[0] > 100


@pytest.mark.usefixtures("mine")
def test_an_image_is_explained_as_the_same_input_is():
    _, _, data = network_and_data()
    pixels = (data.test.x[0] * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save("cat.png")
    np.save("cat_input.npy", pixels.transpose(2, 0, 1).astype(np.float32) / 255)
    command = ["explain", "-c", "mine", "--method", "lrp"]
    for name in ("cat.png", "cat_input.npy"):
        assert cli.main([*command, "--image", name, "--out", f"{Path(name).stem}_map.npy"]) == 0
    np.testing.assert_array_equal(np.load("cat_map.npy"), np.load("cat_input_map.npy"))


@pytest.mark.usefixtures("mine")
def test_maps_of_the_samples_of_a_run_are_scored_as_by_the_library(capsys):
    command = ["explain", "-c", "mine", "--method", "gradient_x_input", "--samples", "drawn"]
    assert cli.main([*command, "--out", "maps.npz"]) == 0
    asked = ["--metrics", "srg,max_sensitivity"]
    assert cli.main(["score", "-c", "mine", "--maps", "maps.npz", *asked, "--out", "s.csv"]) == 0
    text = capsys.readouterr().out
    assert "n/a: cannot be asked again" in text

    config, model, data = network_and_data()
    query = queries(model, data, config.explain.samples)
    method = config.method("gradient_x_input")
    maps = explain(model, query.x, method, data=data, sample=query.sample, seed=1)
    metric = {"srg": config.metric("srg")}
    found = score(model, query.x, maps, metric, data=data, sample=query.sample, seed=1)
    table = pd.read_csv("s.csv").query("metric == 'srg'")
    assert table["sample"].tolist() == query.sample.tolist()
    np.testing.assert_allclose(table["score"], found["score"], atol=1e-6)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--samples", "99"], "no sample 99"),
        (["--samples", "three"], "--samples must be whole numbers"),
        ([], "one of --image, --rows and --samples, got none"),
        (["--samples", "1", "--image", "a.png"], "got image and samples"),
        (["--samples", "1", "--out", "map.txt"], "--out must end with"),
        (["--samples", "1", "--out", "there/map.npy"], "no folder there"),
        (["--image", "a.png", "--out", "map.npz"], "write a .npy"),
        (["--image", "none.png"], "none.png"),
        (["--rows", "rows.csv"], "--rows needs a dataset of tables"),
        (["--samples", "1", "--network", "large"], "photos/small, got 'large'"),
        (["--samples", "1", "--seed", "7"], "--seed must be"),
        (["--samples", "1", "--target", "9"], "target must be in 0 ... 2"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_written(arguments, part, capsys):
    before = set(Path().iterdir())
    assert cli.main(["explain", "-c", "mine", "--method", "lrp", *arguments]) == 2
    message = capsys.readouterr().err
    assert part in message and message.count("\n") == 1
    assert set(Path().iterdir()) == before


@pytest.mark.usefixtures("mine")
def test_what_a_run_makes_is_asked_for_before_it_is_there(capsys):
    command = ["explain", "-c", "mine", "--method", "gpex_neighbours", "--samples", "1"]
    assert cli.main(command) == 1
    assert "last_layer is not fitted to small on photos yet" in capsys.readouterr().err
    trained = Path("mine.yaml").read_text().replace("model: small,", "model: cnn,")
    Path("trained.yaml").write_text(trained.replace("  small:", "  cnn: {}\n  small:"))
    assert cli.main(["explain", "-c", "trained", "--method", "lrp", "--samples", "1"]) == 1
    assert "cnn on photos is not trained yet" in capsys.readouterr().err


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("values", "part"),
    [(np.zeros((2, 3, 4, 4)), "(3, 12, 12)"), (np.full((15, 3, 12, 12), np.nan), "finite")],
)
def test_maps_that_do_not_fit_are_refused(values, part, capsys):
    np.save("maps.npy", values)
    assert cli.main(["score", "-c", "mine", "--maps", "maps.npy"]) == 2
    assert part in capsys.readouterr().err


def test_new_rows_of_a_table_are_encoded_as_its_own(tmp_path, monkeypatch):
    """Rows that are in the table get the maps that they have as samples."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    table = pd.DataFrame({"size": draw.normal(size=40), "place": ["town", "sea"] * 20})
    table["rent"] = table["size"] * 10 + draw.normal(size=40)
    table.to_csv("rents.csv", index=False)
    Path("net.py").write_text(
        "import torch\n\ndef net():\n    torch.manual_seed(0)\n    return torch.nn.Linear(3, 1)\n"
    )
    command = ["init", "mine", "--data", "rents.csv", "--target", "rent"]
    assert cli.main([*command, "--network", "net.py:net"]) == 0

    test = configs.load(Path("mine.yaml")).dataset("rents").load().test
    known = table.iloc[test.sample[:3].tolist()].drop(columns="rent")
    known.to_csv("new.csv", index=False)
    listed = ",".join(map(str, test.sample[:3].tolist()))
    command = ["explain", "-c", "mine", "--method", "gradient_x_input"]
    assert cli.main([*command, "--rows", "new.csv", "--out", "new.npy"]) == 0
    assert cli.main([*command, "--samples", listed, "--out", "own.npy"]) == 0
    np.testing.assert_allclose(np.load("new.npy"), np.load("own.npy"), atol=1e-5)
    assert torch.tensor(np.load("new.npy")).abs().sum() > 0

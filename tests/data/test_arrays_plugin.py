"""The plug-in `arrays`: files with named arrays, with a split or without one."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gpex_bench import config
from gpex_bench.contract.checks import check_dataset
from gpex_bench.data.arrays import Arrays, Keys
from gpex_bench.data.files import splits
from gpex_bench.run.provenance import described
from gpex_bench.types import Kind, Need

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5)).astype(np.float32)
Y = np.tile(np.arange(4), 10)
PHOTOS = RNG.integers(0, 256, (40, 3, 8, 6), dtype=np.uint8)
TABLE = {"x_train": X, "y_train": Y, "x_test": X[:9] + 1, "y_test": Y[:9]}
IMAGES = {"x_train": PHOTOS, "y_train": Y, "x_test": PHOTOS[:9], "y_test": Y[:9]}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(name="own.npz", **arrays):
    np.savez(name, **arrays)
    return name


def test_every_form_of_file_gives_the_same_dataset(folder):
    names = [written(**TABLE), "own.safetensors", "own"]
    tensors = {key: torch.from_numpy(array) for key, array in TABLE.items()}
    save_file(tensors, "own.safetensors")
    (folder / "own").mkdir()
    for key, array in TABLE.items():
        np.save(f"own/{key}.npy", array)

    data = [Arrays(file=name).load() for name in names]
    assert len({splits.dataset_digest(one) for one in data}) == 1
    assert data[0].test.sample.tolist() == list(range(9))
    np.testing.assert_array_equal(data[0].train.x, X)
    for name in names:
        check_dataset(Arrays(file=name))


@pytest.mark.parametrize(
    "arrays, kind, offers",
    [
        (TABLE, Kind.CLASSES, {Need.TABLE}),
        (IMAGES, Kind.CLASSES, {Need.IMAGE}),
        (IMAGES | {"mask": PHOTOS[:9, 0] > 9}, Kind.CLASSES, {Need.IMAGE, Need.TRUTH}),
        (TABLE | {"y_train": X[:, 0], "y_test": X[:9, 0]}, Kind.NUMBER, {Need.TABLE}),
        (TABLE | {"y_train": X[:, :2] > 0, "y_test": X[:9, :2] > 0}, Kind.LABELS, {Need.TABLE}),
    ],
)
def test_kind_and_form_are_known_before_it_is_loaded(arrays, kind, offers):
    source = Arrays(file=written(**arrays))
    assert (source.kind, source.offers) == (kind, offers)
    check_dataset(source)


def test_the_file_may_say_more():
    names = np.array(["owl", "cat", "dog", "bee"])
    more = {
        "classes": names,
        "features": np.array(list("abcde")),
        "groups": np.array([0, -1, 0, 4, 4]),
        "baseline": np.full(5, 0.5),
        "sample_train": np.arange(100, 140),
        "sample_test": np.arange(9)[::-1],
    }
    data = Arrays(file=written(**TABLE, **more)).load()
    assert data.classes == tuple(names) and data.features == tuple("abcde")
    assert data.groups == ((0, 2), (3, 4))
    assert data.baseline.unique().tolist() == [0.5]
    assert data.train.sample[0] == 100 and data.test.sample[0] == 8
    settings = Arrays(file="own.npz", classes=tuple("wxyz"), baseline="zero", groups=((1, 2),))
    other = settings.load()
    assert other.classes == tuple("wxyz") and other.groups == ((1, 2),)
    assert not other.baseline.any()


def test_names_in_safetensors_are_in_its_metadata():
    tensors = {key: torch.from_numpy(array) for key, array in TABLE.items()}
    save_file(tensors, "own.safetensors", {"classes": json.dumps(list("wxyz"))})
    assert Arrays(file="own.safetensors").load().classes == tuple("wxyz")


def test_a_mask_is_a_planted_truth_of_every_channel():
    mask = PHOTOS[:9, 0] > 99
    mask[:, 0, 0] = True
    data = Arrays(file=written(**IMAGES, mask=mask)).load()
    assert data.truth.mask.shape == (9, 3, 8, 6)
    np.testing.assert_array_equal(data.truth.mask[:, 2], mask)
    assert data.truth.test_group.equal(data.test.y)


def test_a_file_without_a_split_is_split_by_share():
    source = Arrays(
        file=written(images=PHOTOS, names=Y), keys=Keys(x="images", y="names"), test=0.2
    )
    check_dataset(source)
    data = source.load()
    assert data.test.y.bincount().tolist() == [2, 2, 2, 2]
    np.testing.assert_array_equal(
        data.train.x, PHOTOS[data.train.sample].astype(np.float32) / np.float32(255)
    )
    np.testing.assert_array_equal(data.test.y, Y[data.test.sample])
    other = Arrays(file="own.npz", keys=source.keys, test=0.2, seed=1).load()
    assert not other.test.sample.equal(data.test.sample)


def damaged(name):
    """Write a file that cannot be used, and return its name."""
    written(**TABLE)
    with open("own.npz", "rb") as file:
        whole = bytearray(file.read())
    if name == "flipped.npz":
        whole[400] ^= 255
    content = {"empty.npz": b"", "text.npz": b"<html>", "cut.npz": whole[:-100]}.get(name, whole)
    with open(name, "wb") as file:
        file.write(content)
    return name


@pytest.mark.parametrize("name", ["empty.npz", "text.npz", "cut.npz", "flipped.npz"])
def test_a_damaged_file_is_refused_by_name(name):
    with pytest.raises(
        ValueError, match=rf"{name}.*(is empty|damaged or cut short).*write it again"
    ):
        Arrays(file=damaged(name)).load()


def test_a_cut_safetensors_is_refused_by_name():
    save_file({"x_train": torch.zeros(9)}, "own.safetensors")
    with open("own.safetensors", "rb") as file:
        content = file.read()
    with open("cut.safetensors", "wb") as file:
        file.write(content[:-9])
    with pytest.raises(ValueError, match="cut.safetensors.* damaged or cut short"):
        Arrays(file="cut.safetensors")


MISSING = {key: TABLE[key] for key in ("x_train", "y_train")}
BAD = [
    (TABLE | {"x_train": X.astype(object)}, {}, "'x_train' holds Python objects.* pickle"),
    (MISSING, {}, r"own.npz must have .* lacks x_test, y_test, and has x_train float32 \(40, 5\)"),
    ({"images": PHOTOS}, {"keys": Keys(x="images")}, "lacks x_train.*has images uint8.*keys"),
    ({"x": X, "y": Y}, {}, "test must be given, such as 0.2, because own.npz has x and y"),
    (TABLE, {"test": 0.2}, "test must be left out, got 0.2: own.npz has a split of its own"),
    ({"x": X, "y": Y}, {"test": 20.0}, "test must be a share between 0 and 1, got 20.0"),
    ({"x": X, "y": Y[:-1]}, {"test": 0.2}, "own.npz: y must have one row for each of the 40"),
    ({"x": X, "y": Y}, {"test": 0.01}, "own.npz: test must leave .*got 0.01"),
    ({"x": X, "y": Y}, {"test": 0.2, "seed": -1}, "seed must be in"),
    (TABLE, {"classes": ("a",), "kind": Kind.CLASSES}, "own.npz: classes must name at least 2"),
    (TABLE, {"classes": ("a",)}, "own.npz: kind must be given"),
    (TABLE | {"y_test": Y}, {}, "own.npz: y_test must have one row for each of the 9 of x_test"),
    (IMAGES | {"x_train": PHOTOS[:, 0]}, {}, r"own.npz: x_train must be .*Grey images are"),
    (IMAGES | {"mask": PHOTOS}, {}, r"own.npz: mask must be true or false, of the shape"),
    (TABLE | {"groups": [[0, 1]]}, {}, "own.npz: groups must be a whole number for each column"),
]


@pytest.mark.parametrize("arrays, settings, words", BAD)
def test_what_does_not_fit_is_refused_with_the_file_and_the_array(arrays, settings, words):
    with pytest.raises(ValueError, match=words):
        Arrays(file=written(**arrays), **settings).load()


@pytest.mark.parametrize("name", ["own.pt", "own.csv"])
def test_other_files_are_refused(name):
    shutil.copy(written(**TABLE), name)
    with pytest.raises(ValueError, match=f"file must be a .npz file .* got '{name}'"):
        Arrays(file=name)


RAW = {
    "run": "own",
    "seeds": [1],
    "networks": [{"dataset": "photos", "model": "mlp"}],
    "datasets": {"photos": {"dataset": "arrays", "file": "own.npz"}},
    "models": {"mlp": None},
    "methods": {"gradient_x_input": None},
    "metrics": {"srg": None},
}


def test_a_config_names_the_entry_and_the_file():
    with pytest.raises(config.ConfigError, match="datasets.photos: file must be .* 'own.npz'"):
        config.parse(RAW)
    written(**TABLE)
    parsed = config.parse(RAW)
    assert parsed.dataset("photos").kind is Kind.CLASSES
    before = described(parsed.dataset("photos"))
    written(**TABLE, features=np.array(list("abcde")))
    assert described(config.parse(RAW).dataset("photos")) != before

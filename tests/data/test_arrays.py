"""Arrays of one's own: what fits is converted and noted, everything else is refused by name."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from gpex_bench.contract.datasets import check_data
from gpex_bench.data.files.arrays import from_arrays
from gpex_bench.types import Kind, Need, Source, settings

N = 40
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 5))
Y = np.tile(np.arange(4), N // 4)
PHOTOS = RNG.integers(0, 256, (N, 3, 8, 6), dtype=np.uint8)
FLOATS = (PHOTOS / 255).astype(np.float32)


def made(x=X, y=Y, x_test=None, y_test=None, **settings):
    """Return the dataset of arrays; the test split is the training split unless it is given."""
    x_test = x if x_test is None else x_test
    y_test = y if y_test is None else y_test
    return from_arrays(x, y, x_test, y_test, **settings)


def spoiled(entry):
    x = X.copy()
    x[2, 3] = entry
    return x


@pytest.mark.parametrize("x", [X, PHOTOS, FLOATS])
@pytest.mark.parametrize(
    "y, kind",
    [
        (Y, Kind.CLASSES),
        (Y % 2 == 0, Kind.CLASSES),
        (np.array(list("abcd"))[Y], Kind.CLASSES),
        (X[:, 0], Kind.NUMBER),
        (X[:, :3] > 0, Kind.LABELS),
    ],
)
def test_the_kind_is_inferred_and_the_contract_is_kept(x, y, kind):
    data = made(x, y, sample_train=np.arange(N) + 100)
    form = Need.IMAGE if x.ndim == 4 else Need.TABLE
    cls = type("Own", (Source,), {"offers": {form}, "kind": kind, "load": lambda self: data})
    check_data(settings(cls)(), data)
    assert data.kind is kind


@pytest.mark.parametrize("dtype", ["float64", "float16", ">f4", "int32", "uint8", "bool"])
def test_tables_of_any_type_keep_their_values(dtype):
    x = np.round(3 * np.abs(X)).astype(dtype)
    for given in (x, torch.from_numpy(x.astype(x.dtype.newbyteorder("="))), x[:, ::-1][:, ::-1]):
        data = made(given)
        assert data.train.x.dtype == torch.float32
        np.testing.assert_array_equal(data.train.x, x.astype(np.float32))


def test_other_holders_of_numbers_are_taken():
    frame = pd.DataFrame(X, columns=list("abcde"))
    assert made(frame, pd.Series(Y)).features == tuple("abcde")
    np.testing.assert_array_equal(made(scipy.sparse.csr_array(X)).train.x, X.astype(np.float32))
    sparse = torch.from_numpy(X).to_sparse()
    np.testing.assert_array_equal(made(sparse).train.x, X.astype(np.float32))
    half = torch.from_numpy(X).bfloat16().requires_grad_()
    assert made(half).train.x.equal(half.detach().float())
    assert made(X.tolist(), Y.tolist()).train.y.tolist() == Y.tolist()
    assert made(X.astype(object)).train.x.equal(made(X).train.x)


def test_the_dataset_does_not_change_with_the_array():
    x = FLOATS.copy()
    data = made(x)
    x[:] = 0
    assert data.train.x.max() > 0.9


def test_bytes_become_shares_and_this_is_noted():
    data = made(PHOTOS)
    torch.testing.assert_close(data.train.x, torch.from_numpy(FLOATS), atol=0, rtol=0)
    assert "x_train: bytes are divided by 255" in data.notes
    assert not [note for note in made(FLOATS).notes if "255" in note]


def test_an_absent_feature_is_the_mean_unless_something_is_given():
    np.testing.assert_allclose(made(X).baseline, X.mean(0), rtol=1e-5)
    colour = FLOATS.mean((0, 2, 3))
    np.testing.assert_allclose(made(PHOTOS).baseline[:, 4, 5], colour, rtol=1e-5)
    own = made(PHOTOS, baseline=[0.1, 0.2, 0.3]).baseline
    assert own.shape == (3, 8, 6) and own[2].unique().tolist() == [pytest.approx(0.3)]
    assert not made(X, baseline="zero").baseline.any()
    np.testing.assert_allclose(made(FLOATS, baseline="train_mean").baseline, FLOATS.mean(0), 1e-5)
    assert made(X, baseline=np.ones(5)).baseline.tolist() == [1.0] * 5


def test_the_baseline_of_a_category_is_the_most_frequent_one():
    x = np.column_stack([X[:, :2], np.eye(3)[np.minimum(Y, 2)]])
    data = made(x, groups=[[2, 3, 4]])
    assert data.groups == ((2, 3, 4),)
    assert data.baseline[2:].tolist() == [0, 0, 1]


def test_row_i_of_the_test_split_is_sample_i():
    data = made(X, Y, X[:8], Y[:8])
    assert data.test.sample.tolist() == list(range(8))
    assert data.train.sample.tolist() == list(range(8, 8 + N))


def test_names_of_classes_give_the_numbers():
    names = np.array(["owl", "cat", "dog", "bee"])[Y]
    assert made(y=names).classes == ("bee", "cat", "dog", "owl")
    given = made(y=names, classes=("owl", "cat", "dog", "bee"))
    assert given.train.y.tolist() == Y.tolist()


BAD = [
    ({"x": spoiled(np.nan)}, "x_train must be finite.* 1 entries.* row 2, column 3; fill"),
    ({"x": X, "x_test": spoiled(np.inf)}, "x_test must be finite"),
    ({"x": spoiled(1e39)}, "x_train must be finite in single precision"),
    ({"x": 1.7e9 + X}, "x_train must fit in single precision, and column 0"),
    ({"x": X + 1j}, "x_train must hold real numbers, got the type complex128"),
    ({"x": X.astype(str)}, "x_train must hold numbers, got text"),
    ({"x": pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})}, "objects of the types int, str"),
    ({"x": [[1.0, 2.0], [3.0]]}, "x_train must be one array, got rows of different lengths"),
    ({"x": np.ma.masked_array(X, X > 0)}, "x_train must have no masked entries"),
    ({"x": X[:, 0]}, r"x_train must be a table .* got the shape \(40,\)"),
    ({"x": X, "x_test": X[:0]}, r"x_test must be a table .* got the shape \(0, 5\)"),
    ({"x": PHOTOS.transpose(0, 2, 3, 1)}, r"channels are last; give x_train.transpose\(0, 3, 1, 2"),
    ({"x": PHOTOS[:, 0]}, r"Grey images are x\[:, None\]"),
    ({"x": PHOTOS[:, :, None]}, "Volumes are not supported"),
    ({"x": PHOTOS.astype(float)}, r"x_train must be images in about 0 ... 1, got float64 in 0 ..."),
    ({"x": PHOTOS.astype(int)}, "x_train must be bytes .* got int64 in 0 ... 255; give uint8"),
    ({"x": PHOTOS // 255}, "x_train must be bytes .* may be either; give floats"),
    ({"x": X, "x_test": X[:, :4]}, r"x_test must have inputs of the shape \(5,\), as x_train"),
    ({"y": Y[:-1]}, "y_train must have one row for each of the 40 of x_train, got 39"),
    ({"y": Y[:, None]}, r"y_train must be .* got the shape \(40, 1\); give y_train\[:, 0\]"),
    ({"y": np.eye(4)[Y]}, r"kind must be given .* exactly one 1: for classes give y.argmax\(1\)"),
    ({"y": Y.astype(float)}, "kind must be given for targets of 4 .* 'number' for a quantity"),
    ({"y": Y + 1}, r"kind must be given .* \(1, 2, 3, 4; int64\)"),
    ({"y": Y + 1, "kind": "classes"}, "counted from 1, give y_train - 1"),
    ({"y": Y + 1, "classes": tuple("abcd")}, "got 4 in row 3; they seem to be counted from 1"),
    ({"y": 2 * (Y % 2) - 1, "classes": ("a", "b")}, r"give \(y_train \+ 1\) // 2"),
    ({"classes": ("a",)}, "kind must be given for targets of 4 different whole numbers"),
    ({"classes": ("a",), "kind": "classes"}, "classes must name at least 2 classes, got 1"),
    ({"classes": ("a", "b", "b", "c")}, "classes must differ, and b are there twice"),
    ({"y": np.where(Y == 2, 5, Y), "kind": "classes"}, r"2 have none \(2, 4\); number"),
    ({"y_test": np.full(N, 7), "classes": tuple("abcd")}, "y_test must be in 0 ... 3.* got 7"),
    ({"y": np.array(list("abcd"))[Y], "y_test": np.full(N, "e")}, "y_test must hold names.*got e"),
    ({"y": X[:, 0], "kind": "classes"}, "y_train must be whole numbers.* in row 0"),
    ({"y": X[:, 0], "y_test": spoiled(np.nan)[:, 3]}, "y_test must be finite, got nan in row 2"),
    ({"kind": "klass"}, "kind must be one of 'classes', 'labels', 'number', got 'klass'"),
    ({"unit": "kg"}, "unit must be left out unless kind is number, got 'kg'"),
    ({"features": ["a"]}, "features must name the 5 columns of a table, got 1"),
    ({"features": list("abcda")}, "features must differ, and a are there twice"),
    ({"x": FLOATS, "features": list("abc")}, "images have none, got 3"),
    ({"groups": [[0, 9]]}, r"groups must be of at least 2 .* got \(0, 9\)"),
    ({"baseline": np.zeros(4)}, r"baseline must be numbers of .* \(5,\), got float64 of shape"),
    ({"x": FLOATS, "baseline": np.full(3, 128.0)}, "baseline must be in the units of images"),
    (
        {"baseline": "black"},
        "baseline must be one of 'train_mean', 'zero' or an array, got 'black'",
    ),
    ({"sample_train": np.arange(N)}, "sample_test must name each row for good, and 40 numbers"),
    ({"sample_train": np.arange(N - 1)}, "sample_train must be 40 whole numbers"),
]


@pytest.mark.parametrize("given, words", BAD)
def test_what_does_not_fit_is_refused_by_name(given, words):
    with pytest.raises(ValueError, match=words):
        made(**given)


def test_a_number_counted_from_zero_needs_its_kind():
    """A count of children looks like classes: the note says what was taken, `kind` changes it."""
    assert "the whole numbers 0 ... 3 are taken as classes" in made().notes
    data = made(kind="number", classes="children")
    assert data.train.y.dtype == torch.float32 and data.classes == ("children",)


def test_a_network_that_is_brought_along_may_know_more_classes():
    data = made(classes=tuple("abcdefgh"))
    assert data.classes == tuple("abcdefgh") and int(data.train.y.max()) == 3

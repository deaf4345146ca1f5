"""What a dataset holds is checked before anything is computed; errors say where and what to do."""

import copy
from dataclasses import replace

import pytest
import torch

from gpex_bench.contract import toys
from gpex_bench.contract.datasets import notes
from gpex_bench.stages.prepare import prepare
from gpex_bench.types import Need, Source, settings

TABLE, IMAGES = toys.dataset("table"), toys.dataset("colour images")


def forced(value, **changes):
    """Return a changed value whose types nobody checks, as outside of the tests."""
    changed = copy.copy(value)
    for name, content in changes.items():
        object.__setattr__(changed, name, content)
    return changed


def source(data):
    form = Need.IMAGE if data.train.x.ndim == 4 else Need.TABLE
    offers = frozenset({form} | ({Need.TRUTH} if data.truth is not None else set()))
    return settings(type("Given", (Source,), {"offers": offers, "load": lambda self: data}))()


def with_x(change, data=TABLE):
    """Return a dataset of changed inputs, without a truth."""
    parts = {
        part: forced(getattr(data, part), x=change(getattr(data, part).x))
        for part in ("train", "test")
    }
    return forced(data, **parts, baseline=change(data.baseline[None])[0], truth=None)


def with_test(data=TABLE, **changed):
    return forced(data, test=forced(data.test, **changed), truth=None)


def spoiled(entry):
    x = TABLE.test.x.clone()
    x[2, 3] = entry
    return with_test(x=x)


BAD = [
    (with_x(torch.Tensor.double), "train.x must be torch.float32, got torch.float64; use x.float"),
    (
        with_x(lambda x: (255 * x).byte(), IMAGES),
        r"got torch.uint8; use x.float\(\), and divide by 255",
    ),
    (with_x(lambda x: x[:, None]), r"got \(24, 1, 8\). Give series .* as images of height 1"),
    (with_x(lambda x: x[:, :, None], IMAGES), "Volumes are not supported"),
    (with_x(lambda x: x[:, 0]), r"must be a table \[n, column\] or images .*, got \(24,\)"),
    (spoiled(torch.nan), "1 entries of test.x are NaN .* in sample 126, column column 3; fill or"),
    (spoiled(1e20), "test.x has entries of size 1.0e.20 .*sample 126, column column 3.*; scale"),
    (with_test(y=TABLE.test.y.int()), "test.y must be torch.int64 of shape"),
    (with_test(y=TABLE.test.y + 1), r"test.y must lie in 0 ... 2, got 1 ... 3"),
    (with_test(sample=TABLE.train.sample[:6]), "6 of them in both splits; number the rows"),
    (replace(TABLE, classes=("a", "b", "a")), "classes must differ, and a are there twice"),
    (replace(TABLE, classes=("a", "b")), r"train.y must lie in 0 ... 1, got 0 ... 2"),
    (forced(TABLE, baseline=TABLE.baseline.double()), "float32, got torch.float64; use baseline"),
    (replace(TABLE, baseline=TABLE.baseline[:5]), r"baseline must have inputs of shape \(8,\)"),
    (
        replace(TABLE, truth=replace(TABLE.truth, mask=TABLE.truth.mask & False)),
        "truth.mask is empty for the samples",
    ),
    (
        replace(TABLE, truth=forced(TABLE.truth, mask=TABLE.truth.mask.float())),
        "truth.mask must be torch.bool, got torch.float32; use mask.bool",
    ),
]


@pytest.mark.parametrize("data, words", BAD)
def test_bad_data_are_refused_in_prepare(data, words):
    with pytest.raises(ValueError, match=words) as caught:
        prepare(source(data))
    assert str(caught.value).startswith("The dataset toy")


@pytest.mark.parametrize("kind", toys.SHAPES)
def test_good_data_pass(kind):
    data = toys.dataset(kind)
    assert prepare(source(data)) is data
    assert notes(data) == []


def test_images_of_any_number_of_channels_pass():
    two = with_x(lambda x: x[:, :2], IMAGES)
    assert prepare(source(two)) is two


def test_what_can_surprise_is_noted():
    constant = TABLE.train.x.clone()
    constant[:, 4] = 2.0
    data = replace(TABLE, train=replace(TABLE.train, x=constant))
    assert notes(data)[0] == "1 of 8 columns are constant in train"

    assert notes(with_x(lambda x: 255 * x, IMAGES))[0].startswith("images lie in")
    assert "is not black" in notes(with_x(lambda x: 2 * x - 1, IMAGES))[0]
    for data in (TABLE, IMAGES):
        assert any(
            "scaled alike?" in note for note in notes(with_test(data, x=5 + 9 * data.test.x))
        )
    seen = with_test(x=TABLE.train.x[:6])
    assert "6 of 6 test rows are also in train" in notes(seen)
    far = replace(TABLE, baseline=TABLE.baseline - 5)
    assert notes(far) == ["the baseline is outside the range of train in 8 entries"]
    assert notes(with_test(y=TABLE.test.y.clamp(max=1))) == ["test has no sample of c"]

    order = TABLE.test.y.argsort()
    test = {name: getattr(TABLE.test, name)[order] for name in ("x", "y", "sample")}
    assert "test is sorted by class" in notes(with_test(**test))[0]

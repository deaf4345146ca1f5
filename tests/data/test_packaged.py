"""Datasets from inside packages: recorded digests, and what their documentation promises."""

import importlib.util
import sys

import numpy as np
import pytest
import skimage.data
import torch
from skimage.color import rgb2hed
from skimage.filters import threshold_otsu

from gpex_bench.contract.datasets import check_learnable
from gpex_bench.contract.promises import BrokenPromise
from gpex_bench.data import histology
from gpex_bench.data.cells import MARKERS, Cells
from gpex_bench.data.faces import Faces
from gpex_bench.data.files import splits
from gpex_bench.data.histology import Histology
from gpex_bench.data.photographs import PHOTOGRAPHS, Photographs
from gpex_bench.stages.prepare import prepare

DIGESTS = {
    Photographs(): "4750cd32eb48378bfdab1d87d20631ee8c3c15dda4210c81eb3f70bac30ad167",
    Faces(): "44f4a43471f0c33647e918cfc393ab7b478360d97e7a76f977cfffe1e6b530a6",
    Cells(): "502cfbf26f4ccec72dea9c44f8ffff2897ecc44ff9f72b999cc9b019f6b7df0c",
    Histology(): "ee41b3e930b2c71573390f0df02cbe8388b5ab2c929075b60a2a4d50701056c8",
}

needs_cells = pytest.mark.skipif(
    importlib.util.find_spec("scanpy") is None or importlib.util.find_spec("h5py") is None,
    reason="needs the extra pretrained",
)


def named(source):
    return type(source).__name__.lower()


@pytest.mark.parametrize(
    "source",
    [pytest.param(one, marks=needs_cells) if one == Cells() else one for one in DIGESTS],
    ids=named,
)
def test_split_is_the_recorded_one(source):
    data = prepare(source, source.is_for_training)
    assert data.name == named(source)
    assert splits.dataset_digest(data) == DIGESTS[source]
    assert source.remarks


# --- photographs


def test_photographs_are_their_middle_squares():
    data = Photographs().load()
    names = [photograph.name for photograph in PHOTOGRAPHS]
    coffee = data.test.x[names.index("coffee")]
    whole = torch.from_numpy(skimage.data.coffee()[:, 100:500]).permute(2, 0, 1).float() / 255
    twin = torch.nn.functional.interpolate(whole[None], size=(224, 224), mode="area")[0]
    assert (coffee - twin).abs().mean() < 0.02
    assert torch.equal(data.train.x, data.test.x.flip(3))
    assert [data.classes[label] for label in data.test.y] == [one.label for one in PHOTOGRAPHS]
    assert len(data.classes) == 1000


def test_no_network_can_be_trained_on_photographs():
    with pytest.raises(ValueError, match="photographs .*train has no sample of the classes 0, 1"):
        prepare(Photographs())
    with pytest.raises(BrokenPromise, match="and 980 more"):
        check_learnable(Photographs().load())


# --- faces


def test_faces_come_first_in_the_file():
    data, raw = Faces(side=25).load(), skimage.data.lfw_subset()
    for split in (data.train, data.test):
        assert torch.equal(split.y, (split.sample < 100).long())
        for channel in range(3):
            np.testing.assert_allclose(split.x[:, channel], raw[split.sample], atol=0.51 / 255)


def test_a_scaled_face_keeps_its_grey():
    small, large = Faces(side=24).load(), Faces(side=48).load()
    assert large.test.x.shape == (100, 3, 48, 48)
    torch.testing.assert_close(
        small.test.x.mean((1, 2, 3)), large.test.x.mean((1, 2, 3)), atol=0.02, rtol=0
    )


# --- cells


@needs_cells
def test_cells_are_scaled_by_the_training_rows_and_read_without_scanpy():
    data = Cells().load()
    assert "scanpy" not in sys.modules
    assert (len(data.train.x), len(data.test.x), len(data.features)) == (560, 140, 765)
    torch.testing.assert_close(data.train.x.mean(0), torch.zeros(765), atol=1e-5, rtol=0)
    torch.testing.assert_close(data.train.x.std(0, correction=0), torch.ones(765))
    # a gene that is not expressed has its lowest value
    assert (data.baseline <= data.train.x.min(0).values + 1e-6).all()
    assert torch.isclose(data.baseline, data.train.x.min(0).values).double().mean() > 0.9


@needs_cells
def test_markers_are_of_the_type_and_raised_in_it():
    data = Cells().load()
    assert set(MARKERS) == set(data.classes)
    is_cd19 = data.test.y == data.classes.index("CD19+ B")
    genes = [data.features[place] for place in data.truth.mask[is_cd19][0].nonzero()]
    assert genes == ["MS4A1", "CD79B", "CD79A"] or set(genes) == {"MS4A1", "CD79B", "CD79A"}

    for name, markers in MARKERS.items():
        own = data.train.x[data.train.y == data.classes.index(name)]
        columns = [data.features.index(gene) for gene in markers]
        assert own[:, columns].mean() > 0.3, name


@needs_cells
def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match=r"h5py.* is not installed.*gpex-bench\[pretrained\]"):
        Cells().load()


# --- histology


def test_tiles_tell_the_stain_and_the_mask_its_pixels():
    data, slide = Histology().load(), skimage.data.immunohistochemistry()
    amount = rgb2hed(slide)[:, :, 2]
    assert threshold_otsu(amount) == pytest.approx(histology.BROWN, abs=1e-3)
    for row, number in enumerate(data.test.sample.tolist()):
        down, right = 32 * (number // 16), 32 * (number % 16)
        own = (slice(down, down + 32), slice(right, right + 32))
        np.testing.assert_array_equal(
            data.test.x[row], (slide[own].transpose(2, 0, 1) / np.float32(255)).astype("float32")
        )
        is_brown = amount[own] > histology.BROWN
        assert int(data.test.y[row]) == int(is_brown.mean() > 0.5)
        right_pixels = is_brown if data.test.y[row] else ~is_brown
        np.testing.assert_array_equal(data.truth.mask[row, 1], right_pixels)
        assert 0.1 <= is_brown.mean() <= 0.9


@pytest.mark.parametrize("quarter", histology.QUARTERS)
def test_no_training_tile_touches_the_quarter_of_the_test_tiles(quarter):
    data = Histology(test=quarter, mixed=0.0).load()
    place = {
        name: torch.stack([split.sample // 16, split.sample % 16], 1)
        for name, split in (("train", data.train), ("test", data.test))
    }
    distance = (place["train"][:, None] - place["test"]).abs().amax(2)
    assert distance.min() == 2
    assert len(data.test.x) == 64
    assert len(data.train.x) == 256 - 81
    vertical, horizontal = quarter.split()
    assert ((place["test"][:, 0] >= 8) == (vertical == "lower")).all()
    assert ((place["test"][:, 1] >= 8) == (horizontal == "right")).all()


@pytest.mark.parametrize(("name", "setting"), [("test", "middle"), ("mixed", 0.5)])
def test_bad_settings_are_refused(name, setting):
    with pytest.raises(ValueError, match=f"^{name} must be .*got {setting!r}"):
        Histology(**{name: setting})

"""The plug-in `image_folder`: images as a person sees them, and samples that keep their numbers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpex_bench.contract.checks import check_dataset
from gpex_bench.data.files import splits
from gpex_bench.data.image_folder import ImageFolder, Photo

RNG = np.random.default_rng(0)
CLASSES = ("cat", "dog", "owl")


def pixels(width=12, height=9):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of five images a class, all 12 x 9."""
    monkeypatch.chdir(tmp_path)
    for name in CLASSES:
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(pixels()).save(f"photos/{name}/{number}.png")
    return tmp_path / "photos"


def split_up(folder):
    """Move two images of each class into test/, the others into train/."""
    for name in CLASSES:
        for number in range(5):
            part = folder / ("test" if number < 2 else "train") / name
            part.mkdir(parents=True, exist_ok=True)
            (folder / name / f"{number}.png").rename(part / f"{number}.png")
        (folder / name).rmdir()


def test_folders_of_classes_in_folders_of_the_splits(folder):
    split_up(folder)
    source = ImageFolder(folder="photos")
    check_dataset(source)
    data = source.load()
    assert data.classes == CLASSES and data.name == "photos"
    assert data.train.x.shape == (9, 3, 9, 12)
    assert data.test.y.bincount().tolist() == [2, 2, 2]
    assert data.notes == ()

    shown = np.asarray(Image.open("photos/test/dog/1.png")).transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_array_equal(data.test.x[3], shown.astype(np.float32))
    colour = data.train.x.mean((0, 2, 3))
    np.testing.assert_allclose(data.baseline[:, 4, 4], colour, rtol=1e-5)


def test_a_share_of_each_class(folder):
    source = ImageFolder(folder="photos", test=0.2, colour="grey", side=8)
    check_dataset(source)
    data = source.load()
    assert data.test.y.bincount().tolist() == [1, 1, 1]
    assert data.train.x.shape == (12, 1, 8, 8)
    names = [f"{name}/{number}.png" for name in CLASSES for number in range(5)]
    samples = {Photo(folder / name, name, "").sample for name in names}
    assert {*data.train.sample.tolist(), *data.test.sample.tolist()} == samples
    others = [ImageFolder(folder="photos", test=0.2, seed=seed).load() for seed in range(4)]
    assert len({tuple(other.test.sample.tolist()) for other in others}) > 1


def test_added_images_move_at_most_one_other_of_their_class(folder):
    source = ImageFolder(folder="photos", test=0.2)
    before = source.load()
    for number in range(5, 9):
        Image.fromarray(pixels()).save(f"photos/cat/{number}.png")
        after = source.load()
        kept = set(before.train.sample.tolist()) & set(after.train.sample.tolist())
        assert len(before.train.sample) - len(kept) <= 1
        same = after.test.y > 0
        assert after.test.sample[same].equal(before.test.sample[before.test.y > 0])
        before = after


def test_a_file_lists_the_test_images(folder):
    (folder.parent / "test.txt").write_text("owl/3.png\n\ncat/0.png\ndog/0.png\n")
    source = ImageFolder(folder="photos", test="test.txt")
    assert source.reads == ("photos", "test.txt")
    data = source.load()
    assert data.test.y.tolist() == [0, 1, 2]
    assert Photo(folder, "owl/3.png", "owl").sample in data.test.sample


def test_classes_may_be_those_of_a_network_that_is_brought_along(folder):
    (folder.parent / "names.txt").write_text("ant\nowl\nbee\ncat\ndog\n")
    source = ImageFolder(folder="photos", test=0.2, classes="names.txt")
    assert source.load().test.y.tolist() == [3, 4, 1]
    assert "names.txt" in source.reads
    assert ImageFolder(folder="photos", test=0.2, classes=CLASSES[::-1]).load().classes[0] == "owl"


def only(image, colour="rgb", ending="png", **settings):
    """Return what an image looks like that is put into the folder, and the notes."""
    image.save(f"photos/cat/0.{ending}", **settings)
    data = ImageFolder(folder="photos", test=0.2, colour=colour, side=4).load()
    sample = Photo(Path(), f"cat/0.{ending}", "cat").sample
    every = [*zip(data.train.sample.tolist(), data.train.x, strict=True)]
    every += [*zip(data.test.sample.tolist(), data.test.x, strict=True)]
    return dict(every)[sample], data.notes


def test_transparent_parts_are_white_and_palettes_are_colours(folder):
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    shown, notes = only(clear)
    assert shown.min() == 1 and "1 images have transparent parts, which are white" in notes
    opaque, notes = only(Image.new("RGBA", (8, 8), (255, 0, 0, 255)))
    assert opaque[:, 0, 0].tolist() == [1, 0, 0] and not notes

    red = Image.new("RGB", (8, 8), (255, 0, 0)).convert("P")
    assert only(red)[0][:, 0, 0].tolist() == [1, 0, 0]
    seen_through = Image.new("P", (8, 8), 0)
    seen_through.putpalette([255, 0, 0])
    assert only(seen_through, transparency=0)[0].min() == 1
    assert only(Image.new("1", (8, 8), 1))[0].min() == 1
    assert only(Image.new("CMYK", (8, 8)), ending="jpg")[0].min() > 0.98


def test_an_image_is_turned_as_its_camera_says(folder):
    upright = np.zeros((8, 8, 3), dtype=np.uint8)
    upright[:4] = 255  # white above
    lying = Image.fromarray(upright)
    exif = lying.getexif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    shown, _ = only(lying, exif=exif)
    assert shown[:, :, -1].min() > 0.9 and shown[:, :, 0].max() < 0.1


def test_sixteen_bits_are_not_cut_off(folder):
    levels = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    shown, notes = only(Image.fromarray(levels), colour="grey")
    assert 0.02 < shown.min() < 0.2 and 0.8 < shown.max() < 0.98
    assert "1 images have 65,536 grey levels, and were reduced to 256" in notes


def test_a_wide_image_is_cropped_padded_or_stretched(folder):
    wide = np.zeros((4, 12, 3), dtype=np.uint8)
    wide[:, 4:8] = 255
    Image.fromarray(wide).save("photos/cat/0.png")
    sample = Photo(Path(), "cat/0.png", "cat").sample
    shown = {}
    for fit in ("crop", "pad", "stretch"):
        data = ImageFolder(folder="photos", test=0.4, side=4, fit=fit).load()
        split = data.train if sample in data.train.sample else data.test
        shown[fit] = split.x[split.sample == sample][0].mean(0)
    assert shown["crop"].min() == 1
    assert shown["pad"][0].max() == 0 and shown["pad"].max() > 0.5
    assert shown["stretch"][:, 0].max() < 0.5 < shown["stretch"][:, 2].min()


def test_what_is_left_out_or_enlarged_is_noted(folder):
    (folder / "cat/notes.txt").write_text("mine")
    (folder / "dog/.DS_Store").write_text("")
    (folder / ".git").mkdir()
    notes = ImageFolder(folder="photos", test=0.2, side=10).load().notes
    assert notes == (
        "1 files are no images: cat/notes.txt",
        "15 images are smaller than 10 pixels, and were enlarged",
    )


def broken(folder):
    (folder / "owl/2.png").write_bytes((folder / "owl/2.png").read_bytes()[:200])


def text(folder):
    (folder / "owl/2.png").write_text("<html>")


def frames(folder):
    images = [Image.fromarray(pixels()) for _ in range(3)]
    images[0].save(folder / "owl/9.gif", save_all=True, append_images=images[1:])


def floats(folder):
    Image.fromarray(RNG.normal(size=(9, 12)).astype(np.float32)).save(folder / "owl/9.tiff")


def other_size(folder):
    Image.fromarray(pixels(20, 9)).save(folder / "owl/9.png")


def loose(folder):
    Image.fromarray(pixels()).save(folder / "9.png")


def deep(folder):
    (folder / "owl/more").mkdir()


def lonely(folder):
    (folder / "bee").mkdir()
    Image.fromarray(pixels()).save(folder / "bee/1.png")


def listed(folder):
    (folder.parent / "test.txt").write_text("cat/0.png\ncat/77.png\n")


def nothing(folder):
    pass


BAD = [
    (broken, {}, "owl/2.png cannot be read as an image .*; mend or remove it"),
    (text, {}, "owl/2.png cannot be read as an image"),
    (frames, {}, "owl/9.gif has 3 frames"),
    (floats, {}, "owl/9.tiff must have levels .* mode F"),
    (other_size, {}, "side must be given.* cat/.*.png is 12 x 9, owl/9.png is 20 x 9"),
    (loose, {}, "must have a folder for each class, and has the image 9.png"),
    (deep, {}, "owl/more is a folder inside"),
    (lonely, {}, "test must leave an image of each class in both splits, got 0.2 of the 1 of bee"),
    (listed, {"test": "test.txt"}, "test.txt must list images .* such as 'cat/77.png'"),
    (nothing, {"test": "none.txt"}, "test must be a text file .* got 'none.txt'"),
    (nothing, {"test": None}, "test must be given, .* it has cat, dog, owl"),
    (split_up, {}, "test must be left out, got 0.2: photos has the folders train and test"),
    (nothing, {"test": 2.0}, "test must be a share between 0 and 1, got 2.0"),
    (nothing, {"side": 0}, "side must be at least 1, got 0"),
    (nothing, {"classes": ("cat", "dog")}, "classes must name every folder, and lacks owl"),
    (nothing, {"folder": "pictures"}, "folder must be a folder .* got 'pictures', which is none"),
]


@pytest.mark.parametrize("change, settings, words", BAD)
def test_what_cannot_be_used_is_refused_by_name(folder, change, settings, words):
    change(folder)
    with pytest.raises(ValueError, match=words):
        ImageFolder(**{"folder": "photos", "test": 0.2} | settings).load()


def test_the_same_folder_gives_the_same_bits(folder):
    source = ImageFolder(folder="photos", test=0.2, side=6)
    assert splits.dataset_digest(source.load()) == splits.dataset_digest(source.load())

"""Images of one's own in folders: train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png.

Without train/ and test/ the setting `test` makes the split: a share of each class, or a file with
the paths of the test images below the folder, one a line. Which images a share takes depends on
their paths alone, so that an added image moves at most one other of its class.

An image is what a person sees: turned as its EXIF entry says, transparent parts white, palettes and
CMYK as colours. Images with several frames are refused. Hidden files and folders are left out, and
so are files with endings that are not those of images, which a note says. The number of a sample is
a hash of its path, so that it stays when images are added; one that is renamed is another sample.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from gpex_bench.data.files import splits
from gpex_bench.data.files.arrays import Baseline, from_arrays
from gpex_bench.data.files.images import Colour, Fit, Form, decoded, endings
from gpex_bench.types import Dataset, Kind, Need, Source, demands, settings

PARTS = ("train", "test")
N_LISTED = 5  # names in a message


@dataclass(frozen=True)
class Photo:
    """One image file."""

    path: Path
    name: str  # path below the folder, with "/"
    label: str  # name of its class

    @property
    def sample(self) -> int:
        """A number in [0, 2**63) that depends on its name alone."""
        return self.place("") >> 1

    def place(self, salt: str) -> int:
        """Return a number in [0, 2**64) by which images are ordered at random."""
        text = unicodedata.normalize("NFC", self.name) + salt
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


@settings
class ImageFolder(Source):
    """Images in a folder for each class; x in [0, 1]."""

    offers = frozenset({Need.IMAGE})

    folder: str  # relative to the working folder
    side: int | None = None  # pixels of height and width; null: as they are, if all are alike
    fit: Fit = "crop"  # how an image becomes a square: crop, pad or stretch
    colour: Colour = "rgb"  # rgb or grey
    # names of the classes in order, or a file with one a line, such as those of a network that is
    # brought along; null: the folders in alphabetical order
    classes: tuple[str, ...] | str | None = None
    test: float | str | None = None  # share of the test split, or a file with its images
    seed: int = 0  # of that share
    baseline: Baseline = "mean_colour"  # what an absent pixel looks like

    def __post_init__(self) -> None:
        splits.check_seed(self.seed)
        if self.side is not None:
            demands.at_least(self, 1, "side")
        if isinstance(self.test, float) and not 0 < self.test < 1:
            raise ValueError(f"test must be a share between 0 and 1, got {self.test}.")
        if not _path(self.folder).is_dir():
            raise ValueError(
                f"folder must be a folder with one folder for each class, got {self.folder!r}, "
                "which is none; put it there or mend the path."
            )

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The folder, and the files that list test images and classes."""
        files = [one for one in (self.test, self.classes) if isinstance(one, str)]
        return (self.folder, *files)

    def load(self) -> Dataset:
        """Return the images, in the order of their names.

        Raises:
            ValueError: an image or a list cannot be read, or a folder is not as expected; names it.
        """
        notes: list[str] = []
        parts = self._parts(notes)
        _check_samples([photo for photos in parts.values() for photo in photos])
        classes = self._classes(parts)
        number = {name: place for place, name in enumerate(classes)}

        photos = [*parts["train"], *parts["test"]]
        n_train = len(parts["train"])
        changes: dict[str, int] = {}
        x = self._pixels(photos, changes)
        y = np.array([number[photo.label] for photo in photos])
        sample = np.array([photo.sample for photo in photos])
        data = from_arrays(
            x[:n_train],
            y[:n_train],
            x[n_train:],
            y[n_train:],
            name=_path(self.folder).resolve().name,
            kind=Kind.CLASSES,
            classes=classes,
            baseline=self.baseline,
            sample_train=sample[:n_train],
            sample_test=sample[n_train:],
        )
        notes += [f"{n} images {what}" for what, n in changes.items()]
        return replace(data, notes=tuple(notes))

    # --- which images there are ---

    def _parts(self, notes: list[str]) -> dict[str, list[Photo]]:
        """Return the images of both splits, by name."""
        top = _path(self.folder)
        names = [folder.name for folder in _folders(top)]
        has_parts = set(PARTS) <= set(names)
        if has_parts and self.test is not None:
            raise ValueError(
                f"test must be left out, got {self.test!r}: {self.folder} has the folders train "
                "and test."
            )
        if has_parts:
            others = [name for name in names if name not in PARTS]
            if others:
                notes.append(f"left out, beside train and test: {', '.join(others[:N_LISTED])}")
            return {part: self._photos(top / part, notes) for part in PARTS}

        if self.test is None:
            raise ValueError(
                f"test must be given, such as 0.2, because {self.folder} does not have the folders "
                f"train and test; it has {', '.join(names[:N_LISTED]) or 'no folders'}."
            )
        photos = self._photos(top, notes)
        tested = self._shared(photos) if isinstance(self.test, float) else self._listed(photos)
        return {
            "train": [photo for photo in photos if photo.name not in tested],
            "test": [photo for photo in photos if photo.name in tested],
        }

    def _photos(self, place: Path, notes: list[str]) -> list[Photo]:
        """Return the images in the folders of the classes in one place."""
        top = _path(self.folder)
        inside = place.relative_to(top).as_posix()
        loose = [path.name for path in _files(place) if path.suffix.lower() in endings()]
        if loose:
            raise ValueError(
                f"{self.folder}/{inside} must have a folder for each class, and has the image "
                f"{loose[0]} itself; move it into the folder of its class."
            )

        photos, others = [], []
        for folder in _folders(place):
            for path in _files(folder):
                name = path.relative_to(top).as_posix()
                is_image = path.suffix.lower() in endings()
                if is_image:
                    photos.append(Photo(path, name, folder.name))
                else:
                    others.append(name)
            deeper = _folders(folder)
            if deeper:
                raise ValueError(
                    f"{deeper[0].relative_to(top).as_posix()} is a folder inside that of a class; "
                    "images must lie in the folder of their class itself."
                )
        if others:
            notes.append(f"{len(others)} files are no images: {', '.join(others[:N_LISTED])}")
        if not photos:
            raise ValueError(f"{self.folder}/{inside} has no images in folders of classes.")
        return photos

    def _shared(self, photos: Sequence[Photo]) -> set[str]:
        """Return the names of the test images: of each class a share, at least one."""
        tested: set[str] = set()
        share = float(self.test or 0)
        for label in sorted({photo.label for photo in photos}):
            own = [photo for photo in photos if photo.label == label]
            n_test = max(1, round(share * len(own)))
            if n_test >= len(own):
                raise ValueError(
                    f"test must leave an image of each class in both splits, got {self.test} of "
                    f"the {len(own)} of {label}."
                )
            own.sort(key=lambda photo: photo.place(f" {self.seed}"))
            tested |= {photo.name for photo in own[:n_test]}
        return tested

    def _listed(self, photos: Sequence[Photo]) -> set[str]:
        """Return the names of the test images that a file lists."""
        lines = _lines("test", str(self.test))
        names = {photo.name for photo in photos}
        unknown = [line for line in lines if line not in names]
        if unknown:
            raise ValueError(
                f"{self.test} must list images by their path below {self.folder}, such as "
                f"{photos[0].name}, and {len(unknown)} are not there, such as {unknown[0]!r}."
            )
        if not lines or len(set(lines)) == len(names):
            raise ValueError(
                f"{self.test} must leave images in both splits, and lists {len(lines)} of the "
                f"{len(names)}."
            )
        return set(lines)

    def _classes(self, parts: Mapping[str, Sequence[Photo]]) -> tuple[str, ...]:
        """Return the names of the classes in order."""
        found = sorted({photo.label for photos in parts.values() for photo in photos})
        if self.classes is None:
            if len(found) < 2:
                raise ValueError(f"{self.folder} must have at least 2 classes, got {found}.")
            return tuple(found)

        is_file = isinstance(self.classes, str)
        classes = _lines("classes", str(self.classes)) if is_file else self.classes
        unknown = [name for name in found if name not in classes]
        if unknown:
            raise ValueError(
                f"classes must name every folder, and lacks {', '.join(unknown[:N_LISTED])}; it "
                f"has {len(classes)} names, such as {', '.join(classes[:N_LISTED])}."
            )
        return tuple(classes)

    # --- what they show ---

    def _pixels(
        self, photos: Sequence[Photo], changes: dict[str, int]
    ) -> UInt8[np.ndarray, "n channel height width"]:
        """Return images as bytes of one size."""
        form = Form(self.side, self.fit, self.colour)
        images: list[np.ndarray] = []
        for photo in photos:
            image = decoded(photo.path, photo.name, form, changes)
            if images and image.shape != images[0].shape:
                raise ValueError(
                    f"side must be given, such as 64, because images differ in size: "
                    f"{photos[0].name} is {_size(images[0])}, {photo.name} is {_size(image)}."
                )
            images.append(image)
        return np.stack(images)


def _size(image: UInt8[np.ndarray, "channel height width"]) -> str:
    return f"{image.shape[2]} x {image.shape[1]}"


def _path(name: str) -> Path:
    return Path(name).expanduser()


def _folders(place: Path) -> list[Path]:
    """Return the folders in a place by name, without hidden ones."""
    return sorted(path for path in place.iterdir() if path.is_dir() and path.name[0] != ".")


def _files(place: Path) -> list[Path]:
    """Return the files in a place by name, without hidden ones."""
    return sorted(path for path in place.iterdir() if path.is_file() and path.name[0] != ".")


def _lines(setting: str, name: str) -> tuple[str, ...]:
    """Return the lines of a text file that are not empty."""
    try:
        text = _path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{setting} must be a text file with one name a line, got {name!r}, which cannot be "
            f"read ({error}); put it there or mend the path."
        ) from error
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _check_samples(photos: Sequence[Photo]) -> None:
    """Raise ValueError if two images have the same number, which is as good as impossible."""
    (sample, count), *_ = Counter(photo.sample for photo in photos).most_common(1)
    if count > 1:
        names = [photo.name for photo in photos if photo.sample == sample]
        raise ValueError(
            f"{' and '.join(names)} have the same number {sample}; rename one of them."
        )

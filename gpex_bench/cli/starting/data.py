"""Data in the working folder, as a dataset of a config."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Dataset, Kind

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm")
TABLES = (".csv", ".tsv")
SEPARATORS = ",;\t|"  # of tables
N_READ = 20  # lines of a table that are looked at
SHARE = 0.2  # of the rows that are the test split, where there is none
# What people call the arrays of a split, in small letters and without what separates words.
NAMES = {
    "x_train": ("xtrain", "trainx", "trainimages", "imagestrain", "traindata", "trainfeatures"),
    "y_train": ("ytrain", "trainy", "trainlabels", "labelstrain", "traintargets", "traintarget"),
    "x_test": ("xtest", "testx", "testimages", "imagestest", "testdata", "testfeatures"),
    "y_test": ("ytest", "testy", "testlabels", "labelstest", "testtargets", "testtarget"),
    "x": ("x", "images", "data", "features", "inputs"),
    "y": ("y", "labels", "label", "targets", "target"),
}
SPLIT = ("x_train", "y_train", "x_test", "y_test")
# What people call the column that is predicted, the likeliest first.
TARGETS = ("target", "label", "class", "y", "outcome", "output")


@dataclass(frozen=True)
class FoundData:
    """A dataset of a config, and what is in it."""

    run_id: str
    plugin: str
    settings: Mapping[str, Any]
    data: Dataset | None  # None: it cannot be loaded with these settings yet
    notes: tuple[str, ...] = field(default=())  # what was chosen, for people
    problem: str = ""  # why it cannot be loaded

    @property
    def needs_names(self) -> bool:
        """Whether its classes have numbers for names."""
        if self.data is None or self.data.kind is Kind.NUMBER:
            return False
        return all(name.isdigit() for name in self.data.classes)


def find_data(given: str | None, target: str | None) -> FoundData | None:
    """Return the dataset of the working folder; None if there is no data.

    Args:
        given: a file or folder; None: the only one that is there.
        target: the column of a table that is predicted; None: it is guessed by its name.

    Raises:
        ValueError: there are several, or it cannot be read; says what to do.
    """
    if given is not None:
        return _read(Path(given), target)

    known = [path for path in sorted(Path().iterdir()) if is_data(path)]
    if len(known) > 1:
        listed = ", ".join(map(str, known))
        raise ValueError(f"--data must say which one is meant; here are {listed}.")
    return _read(known[0], target) if known else None


def is_data(path: Path) -> bool:
    """Return whether a file or folder holds data, by its name and what it lists."""
    if path.name.startswith(".") or path.name in ("results", "config"):
        return False
    if path.is_dir():
        return _is_of_images(path) or _is_of_arrays(path)
    if path.suffix == ".safetensors":
        return bool(_called(path))
    return path.suffix in (".npz", *TABLES)


def _is_of_images(folder: Path) -> bool:
    """Return whether a folder has a folder of images for each class, maybe below train and test."""
    inside = [path for path in folder.iterdir() if path.is_dir()]
    below = [path for part in inside for path in part.iterdir() if path.is_dir()]
    n_classes = sum(_has_pictures(path) for path in [*inside, *below])
    return n_classes > 1


def _has_pictures(folder: Path) -> bool:
    return any(path.suffix.lower() in PICTURES for path in folder.iterdir())


def _is_of_arrays(folder: Path) -> bool:
    return next(folder.glob("*.npy"), None) is not None and bool(_called(folder))


def _read(path: Path, target: str | None) -> FoundData:
    """Return the dataset of a file or folder."""
    if path.suffix in TABLES:
        return _of_table(path, target)
    if target is not None:
        raise ValueError(f"--target is the column of a .csv, and --data is {path}; leave it out.")
    if path.is_dir() and not _is_of_arrays(path):
        return _of_images(path)

    settings: dict[str, Any] = {"file": path.as_posix()}
    called = _called(path)
    if set(SPLIT) <= set(called):
        keys = {part: called[part] for part in SPLIT if called[part] != part}
    else:
        keys = {part: called[part] for part in ("x", "y") if called.get(part, part) != part}
        settings["test"] = SHARE
    if keys:
        settings["keys"] = keys
    return _made(path, "arrays", settings)


def _of_images(folder: Path) -> FoundData:
    """Return the dataset of a folder of images; one without a split gets one."""
    settings: dict[str, Any] = {"folder": folder.as_posix()}
    if not all((folder / part).is_dir() for part in ("train", "test")):
        settings["test"] = SHARE
    return _made(folder, "image_folder", settings)


def _called(path: Path) -> dict[str, str]:
    """Return what the arrays of a file are called, by what they are."""
    from gpex_bench.data.files import stores

    found: dict[str, str] = {}
    for name in stores.opened(path.as_posix()).entries:
        plain = re.sub(r"[\W_]", "", name.lower())
        for part, names in NAMES.items():
            if plain in names:
                found.setdefault(part, name)
    return found


def _of_table(path: Path, target: str | None) -> FoundData:
    """Return the dataset of a table: the separator is the likeliest, and so is the target."""
    from gpex_bench.data.files import columns

    header, *lines = _beginning(path)
    separator = max(SEPARATORS, key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
    settings: dict[str, Any] = {"file": path.as_posix()}

    notes = []
    if target is None:
        by_name = {name.lower(): name for name in names}
        known = [by_name[name] for name in TARGETS if name in by_name]
        target = known[0] if known else names[-1]
        notes = [f"{target!r} is taken for the column that is predicted; --target names another"]
    settings["target"] = target
    if separator != ",":
        settings["separator"] = separator
        entries = [entry.strip() for line in lines for entry in line.split(separator)]
        if any(columns.COMMA.fullmatch(entry) for entry in entries):
            settings["decimal"] = ","
    return _made(path, "csv", settings, notes)


def _beginning(path: Path) -> list[str]:
    """Return the first lines of a table."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = list(itertools.islice(file, N_READ))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--data: {path} cannot be read as a table ({error}).") from error
    if not lines:
        raise ValueError(f"--data: {path} is empty; a table has a line of names, and rows.")
    return lines


def _made(
    path: Path, plugin: str, settings: Mapping[str, Any], notes: Sequence[str] = ()
) -> FoundData:
    """Return a dataset that was loaded with these settings, or why it cannot be.

    Raises:
        ValueError: the file is not what the plug-in reads.
    """
    cls: Any = plugins("dataset")[plugin].cls
    source = cls(**_built(settings))
    data, problem = None, ""
    try:
        data = source.load()
    except ValueError as error:
        problem = str(error)
    return FoundData(run_id(path.stem), plugin, settings, data, tuple(notes), problem)


def _built(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as the plug-in takes them."""
    from gpex_bench.data.arrays import Keys

    made = dict(settings)
    if "keys" in made:
        made["keys"] = Keys(**made["keys"])
    return made


def run_id(name: str) -> str:
    """Return a name as a run id: small letters, digits and underscores."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return re.sub(r"[^a-z0-9]+", "_", words).strip("_") or "mine"

"""Arrays of one's own in a file: .npz, .safetensors, or a folder of .npy files.

The file has `x_train`, `y_train`, `x_test` and `y_test`; or `x` and `y`, of which the setting
`test` makes a split. x is a table [n, column] or images [n, channel, height, width], as bytes or in
about 0 ... 1; y is classes (numbered from 0, or names), a number, or labels [n, label].

It may have

- `classes`, `features`: names of classes and columns, as an array of text (in .safetensors: a list
  in JSON in the metadata);
- `groups` [column]: columns with the same number belong together (a category), -1: on their own;
- `baseline`: what an absent feature looks like;
- `sample_train`, `sample_test`: whole numbers that name the rows for good; else they are counted,
  those of `x_test` first, and of `x` in their order;
- `mask`: where the evidence of each test row lies, of the shape of `x_test`, or [n, height, width];
  with `train_group` and `test_group`, what decides the class (else the class).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from gpex_bench.data.files import splits, stores
from gpex_bench.data.files.arrays import Baseline, from_arrays
from gpex_bench.data.files.inputs import check_form, plain
from gpex_bench.data.files.targets import kind_of
from gpex_bench.types import Dataset, Kind, Need, Source, Truth, settings

PARTS = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL = ("classes", "features", "baseline", "sample_train", "sample_test")


@settings
class Keys:
    """What the arrays are called in the file, where they have other names."""

    x_train: str = "x_train"
    y_train: str = "y_train"
    x_test: str = "x_test"
    y_test: str = "y_test"
    x: str = "x"
    y: str = "y"


@settings
class Arrays(Source):
    """A table or images in a file, with the kind of target that y has."""

    file: str  # relative to the working folder
    # classes, labels or number; null: what y is, if it can be one only
    kind: Kind | None = None  # type: ignore[assignment]
    classes: tuple[str, ...] | None = None  # names in order; of a number, the name of the quantity
    features: tuple[str, ...] | None = None  # names of the columns of a table
    unit: str = ""  # of a number
    groups: tuple[tuple[int, ...], ...] = ()  # columns that belong together; else those of the file
    baseline: Baseline | None = None  # null: that of the file; else the mean colour, or the mean
    test: float | None = None  # share of x and y that is the test split, the same of each class
    seed: int = 0  # of that split
    keys: Keys = Keys()
    _notes: ClassVar[tuple[str, ...]] = ()  # what was inferred from the file

    def __post_init__(self) -> None:
        splits.check_seed(self.seed)
        store = stores.opened(self.file)
        self._check_parts(store)
        # Networks, methods and metrics are chosen by the kind before anything is loaded.
        notes: list[str] = []
        names = store.read("classes") if "classes" in store else None
        y = {part: store.read(key) for part, key in self._names.items() if part[0] == "y"}
        with self._named():
            classes = names if self.classes is None else self.classes
            kind = kind_of(y, self.kind, classes, notes)
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "_notes", tuple(notes))

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The file."""
        return (self.file,)

    @cached_property
    def offers(self) -> frozenset[Need]:  # type: ignore[override]
        """Images or a table, by the axes of x; a planted truth, if the file has a mask."""
        store = stores.opened(self.file)
        shape = store.entries[self._names["x_train"]].shape
        form = Need.IMAGE if len(shape) == 4 else Need.TABLE
        return frozenset({form, Need.TRUTH} if "mask" in store else {form})

    def load(self) -> Dataset:
        """Return the dataset; without `test` in the order of the file.

        Raises:
            ValueError: an array is damaged or does not fit; names the file, the array and what to
                do.
        """
        store = stores.opened(self.file)
        arrays = {part: store.read(key) for part, key in self._names.items()}
        given = {name: store.read(name) for name in OPTIONAL if name in store}
        written = {"classes": self.classes, "features": self.features, "baseline": self.baseline}
        given |= {name: setting for name, setting in written.items() if setting is not None}
        with self._named():
            if self.test is not None:
                arrays, samples = self._split(arrays["x_train"], arrays["y_train"])
                given |= samples
            data = from_arrays(
                **arrays,
                **given,
                name=Path(self.file).stem,
                kind=self.kind,
                unit=self.unit or str(store.read("unit") if "unit" in store else ""),
                groups=self.groups or _groups(store),
            )
            truth = _truth(store, data) if "mask" in store else None
            return replace(data, truth=truth, notes=self._notes + data.notes)

    # --- the arrays of the file ---

    @property
    def _names(self) -> dict[str, str]:
        """What the arrays are called in the file; x and y stand for those of training."""
        if self.test is not None:
            return {"x_train": self.keys.x, "y_train": self.keys.y}
        return {part: getattr(self.keys, part) for part in PARTS}

    def _check_parts(self, store: stores.Store) -> None:
        """Raise ValueError unless the file has both splits, or one and the share to split it by."""
        is_whole = self.keys.x in store and self.keys.y in store
        missing = [key for key in self._names.values() if key not in store.entries]
        has_split = all(getattr(self.keys, part) in store for part in PARTS)
        if missing and self.test is not None and has_split:
            raise ValueError(
                f"test must be left out, got {self.test}: {self.file} has a split of its own."
            )
        if missing and self.test is None and is_whole:
            raise ValueError(
                f"test must be given, such as 0.2, because {self.file} has {self.keys.x} and "
                f"{self.keys.y} without a split."
            )
        if missing:
            raise ValueError(
                f"{self.file} must have {', '.join(PARTS)}, or x and y with the setting test; it "
                f"lacks {', '.join(missing)}, and has {store.listed()}. The setting keys says "
                "which is which."
            )
        if self.test is not None and not 0 < self.test < 1:
            raise ValueError(f"test must be a share between 0 and 1, got {self.test}.")

        for part, key in self._names.items():
            store.check_plain(key)
            if part.startswith("x"):
                check_form(f"{self.file}: {key}", store.entries[key].shape)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Add the file to the errors, and the names of its arrays where they are others."""
        try:
            yield
        except ValueError as error:
            renamed = [
                f"{part} is its array {key!r}" for part, key in self._names.items() if part != key
            ]
            where = f" ({', '.join(renamed)})" if renamed else ""
            raise ValueError(f"{self.file}: {error}{where}") from error

    def _split(self, x: Any, y: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arrays of both splits by argument, and the rows that they are."""
        x, y = plain("x_train", x), plain("y_train", y)
        if len(x) != len(y):
            raise ValueError(f"y must have one row for each of the {len(x)} of x, got {len(y)}.")

        strata = None
        if self.kind is Kind.CLASSES:
            _, stratum = np.unique(y, return_inverse=True)
            strata = torch.from_numpy(stratum)
        train, test = splits.by_share(strata, len(y), float(self.test or 0), self.seed)
        rows = {"train": train.numpy(), "test": test.numpy()}

        arrays, samples = {}, {}
        for part, of_part in rows.items():
            arrays[f"x_{part}"] = x[of_part]
            arrays[f"y_{part}"] = y[of_part]
            samples[f"sample_{part}"] = of_part
        return arrays, samples


def _groups(store: stores.Store) -> tuple[tuple[int, ...], ...]:
    """Return the groups of columns that the file has."""
    if "groups" not in store:
        return ()
    number = plain("groups", store.read("groups"))
    if number.ndim != 1 or number.dtype.kind not in "iu":
        raise ValueError(
            "groups must be a whole number for each column, -1 for a column on its own, got "
            f"{number.dtype} of shape {number.shape}."
        )
    groups = []
    for one in np.unique(number[number >= 0]):
        members = np.flatnonzero(number == one)
        groups.append(tuple(members.tolist()))
    return tuple(groups)


def _truth(store: stores.Store, data: Dataset) -> Truth:
    """Return the planted truth of the file."""
    mask = plain("mask", store.read("mask"))
    shape = tuple(data.test.x.shape)
    if mask.shape == (shape[0], *shape[2:]):
        mask = np.broadcast_to(mask[:, None], shape)
    if mask.shape != shape or not np.isin(mask, (0, 1)).all():
        raise ValueError(
            f"mask must be true or false, of the shape {shape} of x_test, got {mask.dtype} of "
            f"shape {mask.shape}."
        )

    groups = {}
    for part, split in (("train", data.train), ("test", data.test)):
        name = f"{part}_group"
        if name not in store and data.kind is not Kind.CLASSES:
            raise ValueError(f"the file must have {name} beside mask, as there are no classes.")
        given = plain(name, store.read(name)) if name in store else split.y.numpy()
        if given.shape != (len(split.y),) or given.dtype.kind not in "iu":
            raise ValueError(
                f"{name} must be {len(split.y)} whole numbers, got {given.dtype} of shape "
                f"{given.shape}."
            )
        groups[name] = torch.from_numpy(given.astype(np.int64))
    return Truth(mask=torch.from_numpy(mask.astype(bool)), **groups)

"""A table of one's own in a text file (CSV) with a header: numbers and categories.

Numbers are in standard deviations from the mean of the training rows, unless `standardise` is
false. A category has a column for each value (`work=mine`), which are one feature for methods and
metrics (`Dataset.groups`). An absent number is the training mean; an absent category is the most
frequent one, or with `baseline: zero` none.

A column that holds text is a category; numbers that are codes are listed in `categorical`. Dates,
and texts that hardly repeat, are refused. A column that is constant in the training rows is left
out. A category that only test rows have is none of the known ones there. All of it is noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from gpex_bench.data.files import columns, splits
from gpex_bench.data.files.arrays import from_arrays
from gpex_bench.data.files.features import features
from gpex_bench.data.files.targets import kind_of
from gpex_bench.types import Dataset, Kind, Need, Source, demands, settings
from gpex_bench.types.groups import typical

TABLES = (".csv", ".tsv", ".gz")  # endings of a test split that is a table of its own
WORDS = ("", "NA", "N/A", "NaN", "nan", "null", "?")
Missing = Literal[
    "refuse",
    "drop",  # rows in which anything is missing
    "fill",  # with the training mean, or the most frequent category; never the target
]


@settings
class Csv(Source):
    """Numbers and categories of a text file; the target is a number, a class, or several labels."""

    offers = frozenset({Need.TABLE})

    file: str  # relative to the working folder
    # the column that is predicted; of labels several columns, each 0 or 1
    target: str | tuple[str, ...]
    # classes, labels or number; null: what the target is, if it can be one only
    kind: Kind | None = None  # type: ignore[assignment]
    classes: tuple[str, ...] | None = None  # values of the target in order; null: sorted
    categorical: tuple[str, ...] = ()  # columns whose numbers are codes; text needs no mention
    drop: tuple[str, ...] = ()  # columns that are left out
    # the test split: a share of the rows (of each class), a file with rows (counted from 0, one a
    # line), or a second table with the same columns
    test: float | str = 0.2
    seed: int = 0  # of that share
    missing: Missing = "refuse"
    missing_words: tuple[str, ...] = WORDS
    separator: str = ","
    decimal: str = "."
    unit: str = ""  # of a number
    # false: numbers as they are, for a network that was trained on them
    standardise: bool = True
    baseline: Literal["train_mean", "zero"] = "train_mean"  # of categories: most frequent, or none

    def __post_init__(self) -> None:
        splits.check_seed(self.seed)
        demands.one_of(self, decimal=(".", ","))
        if self.separator == self.decimal:
            raise ValueError(f"separator and decimal must differ, got {self.decimal!r} for both.")
        if isinstance(self.test, float) and not 0 < self.test < 1:
            raise ValueError(f"test must be a share between 0 and 1, got {self.test}.")

        names = self._header(self.file)
        for setting in ("target", "categorical", "drop"):
            columns.check_known(setting, self._listed(setting), names)
        twice = set(self._listed("target")) & {*self.categorical, *self.drop}
        if twice:
            raise ValueError(f"target must not be in categorical or drop, got {sorted(twice)}.")
        object.__setattr__(self, "kind", self._kind(names))

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The file, and that of the test split."""
        return (self.file, self.test) if isinstance(self.test, str) else (self.file,)

    def load(self) -> Dataset:
        """Return the table; a sample is a row of the file.

        With a test table of its own its rows are counted first.

        Raises:
            ValueError: an entry is missing or of the wrong kind; names column and row.
        """
        notes: list[str] = []
        table, n_test = self._rows()
        inputs = self._inputs(table, notes)
        kept = self._kept(table, inputs, notes)
        y, names = self._target(table.iloc[kept])

        train, test = self._split(kept, y, len(table), n_test)
        used = [column.rows(kept) for column in inputs]
        built = features(used, train, notes, is_standardised=self.standardise)
        x = built.x
        data = from_arrays(
            *(x[train], y[train], x[test], y[test]),
            name=Path(self.file).stem,
            kind=self.kind,
            classes=names,
            features=built.names,
            unit=self.unit,
            groups=built.groups,
            baseline=self._absent(torch.from_numpy(x[train]), built.groups),
            sample_train=kept[train],
            sample_test=kept[test],
        )
        return replace(data, notes=tuple(notes), scales=tuple(built.scales))

    # --- what the settings say ---

    def _listed(self, setting: str) -> tuple[str, ...]:
        """Return the columns that a setting names."""
        given = getattr(self, setting)
        return (given,) if isinstance(given, str) else tuple(given)

    @property
    def _reading(self) -> columns.Reading:
        return columns.Reading(self.decimal, self.missing_words)

    def _header(self, name: str) -> list[str]:
        """Return the names of the columns of a file."""
        names = list(columns.read(name, self.separator, n_rows=0).columns)
        columns.check_header(name, names, self.separator)
        return names

    def _kind(self, names: Sequence[str]) -> Kind:
        """Return the kind of the target; raises ValueError where it could be of several."""
        targets = self._listed("target")
        n_targets = len(targets)
        if n_targets > 1 and self.kind in (None, Kind.LABELS):
            return Kind.LABELS
        if n_targets > 1:
            raise ValueError(f"kind must be labels for {n_targets} targets, got {self.kind}.")
        if self.kind is not None:
            return Kind(self.kind)

        # networks, methods and metrics are chosen by the kind before anything is loaded
        place = names.index(targets[0])
        entries = columns.read(self.file, self.separator, place).iloc[:, 0]
        texts = self._reading.texts(entries)
        numbers = self._reading.numbers(texts)[texts != ""]
        if not np.isfinite(numbers).all():
            return Kind.CLASSES
        is_whole = bool((numbers == np.round(numbers)).all())
        y = numbers.astype(np.int64) if is_whole else numbers
        return kind_of({targets[0]: y}, None, self.classes)

    # --- the rows ---

    def _rows(self) -> tuple[pd.DataFrame, int]:
        """Return all rows as text, and how many of the first ones are a test table of their own."""
        table = columns.read(self.file, self.separator)
        if not len(table):
            raise ValueError(f"{self.file} must have rows below its header, got none.")
        has_table = isinstance(self.test, str) and self.test.endswith(TABLES)
        if not has_table:
            return table, 0

        names = self._header(str(self.test))
        other = columns.read(str(self.test), self.separator)
        differ = sorted(set(names) ^ set(table.columns))
        if differ or not len(other):
            raise ValueError(
                f"{self.test} must have rows of the columns of {self.file}, and they differ in "
                f"{', '.join(differ) or 'nothing: it has no rows'}."
            )
        other.index = pd.Index([f"{row} of {self.test}" for row in other.index])
        return pd.concat([other[table.columns], table]), len(other)

    def _inputs(self, table: pd.DataFrame, notes: list[str]) -> list[columns.Column]:
        """Return the columns that are inputs."""
        left_out = {*self._listed("target"), *self.drop}
        return [
            self._reading.column(table[name], name in self.categorical, notes)
            for name in table.columns
            if name not in left_out
        ]

    def _kept(
        self, table: pd.DataFrame, inputs: Sequence[columns.Column], notes: list[str]
    ) -> NDArray[np.int64]:
        """Return the rows that are used; raises ValueError if entries must not be missing."""
        lacking = {column.name: column.is_missing for column in inputs if self.missing != "fill"}
        for name in self._listed("target"):
            lacking[name] = self._reading.texts(table[name]) == ""
        gone = np.any([*lacking.values()], axis=0)
        if not gone.any():
            return np.arange(len(table))

        if self.missing == "refuse":
            name, is_missing = next(pair for pair in lacking.items() if pair[1].any())
            row = table.index[int(is_missing.argmax())]
            raise ValueError(
                f"column {name} has {int(is_missing.sum())} missing entries, the first in row "
                f"{row}; set missing: drop or fill."
            )
        what = "an entry" if self.missing == "drop" else "the target"
        notes.append(f"{int(gone.sum())} of {len(gone)} rows lack {what}, and are left out")
        return np.flatnonzero(~gone)

    def _target(self, table: pd.DataFrame) -> tuple[NDArray, tuple[str, ...]]:
        """Return the target of each row, and the names of the outputs."""
        targets = self._listed("target")
        texts = {name: self._reading.texts(table[name]) for name in targets}
        if self.kind is Kind.CLASSES:
            named = columns.shortened(texts[targets[0]], self._reading.numbers(texts[targets[0]]))
            found = columns.ordered(named.tolist())
            unknown = sorted(set(found) - set(self.classes or found))
            if unknown:
                raise ValueError(
                    f"classes must list every value of {targets[0]}, and lacks "
                    f"{', '.join(unknown)}."
                )
            return named.astype(str), self.classes or tuple(found)

        numbers = {}
        for name, of_name in texts.items():
            values = self._reading.numbers(of_name)
            allowed = np.isin(values, (0, 1)) if self.kind is Kind.LABELS else np.isfinite(values)
            if not allowed.all():
                row = int((~allowed).argmax())
                what = "0 or 1" if self.kind is Kind.LABELS else "numbers"
                raise ValueError(
                    f"the target {name} must be {what} (kind {self.kind}), and row "
                    f"{table.index[row]} has {of_name[row]!r}."
                )
            numbers[name] = values
        if self.kind is Kind.LABELS:
            return np.stack([*numbers.values()], axis=1), self.classes or targets
        return numbers[targets[0]], self.classes or targets

    # --- the split ---

    def _split(
        self, kept: NDArray[np.int64], y: NDArray, n: int, n_test: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the training and the test rows among those that are used."""
        if isinstance(self.test, str):
            tested = np.arange(n_test) if n_test else self._test_rows(n - 1)
            is_test = np.isin(kept, tested)
            if is_test.all() or not is_test.any():
                raise ValueError(f"{self.test} must leave rows in both splits.")
            return np.flatnonzero(~is_test), np.flatnonzero(is_test)

        strata = None
        if self.kind is Kind.CLASSES:
            _, stratum = np.unique(y, return_inverse=True)
            strata = torch.from_numpy(stratum)
        train, test = splits.by_share(strata, len(y), self.test, self.seed)
        return train.numpy(), test.numpy()

    def _test_rows(self, last: int) -> NDArray[np.int64]:
        """Return the rows that a file lists; those that are left out may be among them."""
        try:
            rows = np.loadtxt(Path(str(self.test)).expanduser(), ndmin=1)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"test must be a share, a file with rows (counted from 0, one a line) or a table, "
                f"got {self.test!r}, which cannot be read ({error})."
            ) from error
        is_row = (rows == np.round(rows)) & (rows >= 0) & (rows <= last)
        if rows.ndim > 1 or not is_row.all():
            raise ValueError(
                f"{self.test} must list rows from 0 to {last}, one a line, got "
                f"{rows.ravel()[~is_row.ravel()][:1]}."
            )
        return rows.astype(np.int64)

    def _absent(
        self, x: Float[Tensor, "n column"], groups: Sequence[Sequence[int]]
    ) -> Float[Tensor, "column"]:
        """Return what an absent feature looks like."""
        nothing = torch.zeros(x.shape[1])
        if self.baseline == "zero":
            return nothing
        usual = typical(x, groups)
        if not self.standardise:
            return usual

        # The mean of standardised numbers is 0, but for rounding.
        of_category = [column for group in groups for column in group]
        nothing[of_category] = usual[of_category]
        return nothing

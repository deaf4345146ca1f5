"""Columns of text → numbers and categories: nothing is guessed from a few rows, and rows are named.

Every entry is read as text, so that no library decides in silence what is missing, a number or an
index. Rows are counted from 0, without the header.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gpex_bench.types import demands

DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?")
COMMA = re.compile(r"[-+]?\d+,\d+")
OTHER_SEPARATORS = {";": ";", "\t": "\\t", "|": "|", ",": ","}
MOST = 50  # a column of text with more values is hardly a category
N_LISTED = 5  # names in a message


# --- the file ---


def read(
    name: str, separator: str, column: int | None = None, n_rows: int | None = None
) -> pd.DataFrame:
    """Return a table in which every entry is text without spaces around it.

    Args:
        name: of the file, relative to the working folder.
        separator: between entries.
        column: the only one to be read; None: all.
        n_rows: how many rows are read; None: all.

    Raises:
        ValueError: the file is missing, empty, not UTF-8 or no table; says what to do.
    """
    path = Path(name).expanduser()
    try:
        raw = pd.read_csv(
            path,
            sep=separator,
            header=None,
            dtype=str,
            na_filter=False,
            skipinitialspace=True,
            encoding="utf-8-sig",
            usecols=None if column is None else [column],
            nrows=None if n_rows is None else n_rows + 1,
        )
    except FileNotFoundError as error:
        raise ValueError(
            f"file must be a table of text with a header, got {name!r}, which is not in the "
            "working folder; put it there or mend the path."
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} must be text in UTF-8 ({error}); save it as such.") from error
    except (OSError, ValueError, pd.errors.ParserError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{name} cannot be read as a table ({reason}); mend it.") from error

    text = raw.fillna("").apply(lambda entries: entries.str.strip())
    table = text.iloc[1:].reset_index(drop=True)
    table.columns = pd.Index(text.iloc[0])
    return table


def check_header(name: str, columns: Sequence[str], separator: str) -> None:
    """Raise ValueError unless each column has a name of its own, and the separator is right."""
    others = [other for other in OTHER_SEPARATORS if other != separator and other in columns[0]]
    if len(columns) == 1 and others:
        raise ValueError(
            f"separator must be what is between the columns of {name}, got {separator!r}, which "
            f'leaves one column {columns[0]!r}; try separator: "{OTHER_SEPARATORS[others[0]]}".'
        )
    if "" in columns:
        raise ValueError(
            f"{name} must have a name for each column, and that of column "
            f"{list(columns).index('')} is empty; name it, or write the file without an index."
        )
    demands.distinct(f"the columns of {name}", columns)


def check_known(setting: str, names: Collection[str], columns: Collection[str]) -> None:
    """Raise ValueError for names of columns that are not there."""
    unknown = [column for column in names if column not in columns]
    if unknown:
        raise ValueError(
            f"{setting} must name columns, and {', '.join(unknown[:N_LISTED])} are not there; "
            f"there are {', '.join(columns)}."
        )


# --- one column ---


@dataclass(frozen=True)
class Column:
    """One column of all rows."""

    name: str
    numbers: NDArray[np.float64] | None  # NaN where missing; None: a category
    texts: NDArray  # as written; "" where missing

    @property
    def is_missing(self) -> NDArray[np.bool_]:
        """Which rows are missing."""
        return self.texts == ""

    def rows(self, which: NDArray[np.int64]) -> Column:
        """Return some of the rows."""
        numbers = None if self.numbers is None else self.numbers[which]
        return Column(self.name, numbers, self.texts[which])


@dataclass(frozen=True)
class Reading:
    """How columns are read."""

    decimal: str
    words: Collection[str]  # what stands for a missing entry

    def texts(self, entries: pd.Series) -> NDArray:
        """Return the entries, "" where they are missing."""
        return entries.where(~entries.isin(list(self.words)), "").to_numpy(dtype=object)

    def numbers(self, texts: NDArray) -> NDArray[np.float64]:
        """Return texts as numbers, NaN where they are none."""
        plain = pd.Series(texts, dtype=str)
        if self.decimal != ".":
            plain = plain.str.replace(self.decimal, ".", regex=False)
        numbers = pd.to_numeric(plain, errors="coerce")
        return numbers.to_numpy(dtype=np.float64)

    def column(self, entries: pd.Series, is_category: bool, notes: list[str]) -> Column:
        """Return a column as numbers, or as a category if it is one or holds text.

        Raises:
            ValueError: it holds numbers and a few texts, dates, or texts that hardly repeat; names
                column and row.
        """
        name = str(entries.name)
        texts = self.texts(entries)
        numbers = self.numbers(texts)
        is_there = texts != ""
        is_number = np.isfinite(numbers)
        if is_category:
            _check_repeats(name, texts[is_there], len(texts) - 1)
            return Column(name, None, shortened(texts, numbers))

        n_numbers = int(is_number.sum())
        is_text = n_numbers < is_there.sum() / 2
        if is_text:
            _check_text(name, texts[is_there])
            n_values = len(set(texts[is_there]))
            notes.append(f"{name} holds text: taken as a category of {n_values}")
            return Column(name, None, texts)

        others = np.flatnonzero(is_there & ~is_number)
        if len(others):
            row = int(others[0])
            raise ValueError(self._no_number(name, entries.index[row], str(texts[row])))
        _note_codes(name, numbers[is_there], notes)
        return Column(name, numbers, texts)

    def _no_number(self, name: str, row: object, text: str) -> str:
        """Return the message about an entry that is no number among numbers."""
        remedy = "mend it, list the column in categorical, or the word in missing_words"
        if COMMA.fullmatch(text) and self.decimal != ",":
            remedy = 'if it is a decimal comma, set decimal: ","'
        return f"column {name} must hold numbers, and row {row} has {text!r}; {remedy}."


def shortened(texts: NDArray, numbers: NDArray[np.float64]) -> NDArray:
    """Return names of categories; whole numbers are written as such, "3.0" as "3"."""
    is_there = texts != ""
    if not (np.isfinite(numbers) & (numbers == np.round(numbers)))[is_there].all():
        return texts
    short = texts.copy()
    short[is_there] = [str(int(number)) for number in numbers[is_there]]
    return short


def _check_text(name: str, texts: NDArray) -> None:
    """Raise ValueError for a column of text that is no category."""
    if len(texts) and all(DATE.fullmatch(text) for text in texts):
        raise ValueError(
            f"column {name} holds dates, such as {texts[0]!r}; give numbers, such as the year and "
            "the month, or list it in drop."
        )
    _check_repeats(name, texts, MOST)


def _check_repeats(name: str, texts: NDArray, most: int) -> None:
    """Raise ValueError for a category with more values than that."""
    n_values = len(set(texts))
    if n_values > most:
        raise ValueError(
            f"column {name} has {n_values} different texts in {len(texts)} rows, such as "
            f"{texts[0]!r}: hardly a category; list it in drop"
            f"{', or in categorical' if most == MOST else ''}."
        )


def _note_codes(name: str, numbers: NDArray[np.float64], notes: list[str]) -> None:
    """Note numbers that may be codes of a category, or count the rows."""
    values = np.unique(numbers)
    is_whole = bool(len(values) and (values == np.round(values)).all())
    if is_whole and 2 < len(values) <= 10:
        notes.append(
            f"{name} has {len(values)} different whole numbers, taken as a quantity; list it in "
            "categorical if they are codes"
        )
    counts_rows = is_whole and len(values) == len(numbers) and np.ptp(values) == len(values) - 1
    if counts_rows and len(values) > 10:
        notes.append(f"{name} seems to count the rows; list it in drop if it does")


def ordered(names: Collection[str]) -> list[str]:
    """Return names in order: by size if all are numbers, else by alphabet."""
    try:
        return sorted(set(names), key=float)
    except ValueError:
        return sorted(set(names))

"""Files with named arrays: .npz, .safetensors, or a folder of .npy; nothing that runs code.

What is inside is known from the headers, so that a wrong file is refused before it is read.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

WAYS = "a .npz file (numpy.savez), a .safetensors file, or a folder of .npy files"


@dataclass(frozen=True)
class Entry:
    """One array of a file."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Any]  # the array; of safetensors the tensor


@dataclass(frozen=True)
class Store:
    """The arrays of a file by name."""

    name: str  # of the file, as written
    entries: dict[str, Entry]
    texts: dict[str, str]  # what a .safetensors file has besides tensors

    def __contains__(self, key: str) -> bool:
        return key in self.entries or key in self.texts

    def read(self, key: str) -> Any:
        """Return an array.

        Raises:
            ValueError: it is missing, holds objects, or the file is damaged; names file and key.
        """
        if key in self.texts:
            return self._text(key)
        if key not in self.entries:
            raise ValueError(f"{self.name} must have {key!r}; it has {self.listed()}.")
        self.check_plain(key)
        with _readable(f"The array {key!r} of {self.name}"):
            return self.entries[key].read()

    def check_plain(self, key: str) -> None:
        """Raise ValueError if an array holds objects, which only a pickle can store."""
        if "O" in self.entries[key].dtype:
            raise ValueError(
                f"{self.name} must hold plain arrays, and {key!r} holds Python objects, which only "
                "a pickle can store; save numbers, or names as an array of text."
            )

    def _text(self, key: str) -> Any:
        """Return a text of a .safetensors file: a list in JSON, or plain text."""
        text = self.texts[key]
        try:
            return json.loads(text)
        except ValueError:
            return text

    def listed(self) -> str:
        """Return what is there, with types and shapes."""
        found = [f"{key} {entry.dtype} {entry.shape}" for key, entry in self.entries.items()]
        return ", ".join([*found, *self.texts]) or "nothing"


def opened(name: str) -> Store:
    """Return the arrays of a file, of which only the headers are read.

    Args:
        name: of the file or folder, as written; relative to the working folder.

    Raises:
        ValueError: it is missing, empty, cut short or of another form.
    """
    path = Path(name).expanduser()
    if not path.exists():
        raise ValueError(
            f"file must be {WAYS}, got {name!r}, which is not in the working folder; put it there "
            "or mend the path."
        )
    if path.is_file() and not path.stat().st_size:
        raise ValueError(f"file must hold arrays, and {name!r} is empty; write it again.")

    known = {".npz": _of_npz, ".safetensors": _of_safetensors}
    reader = _of_folder if path.is_dir() else known.get(path.suffix)
    if reader is None:
        raise ValueError(f"file must be {WAYS}, got {name!r}; save the arrays as one of these.")
    with _readable(f"{name}, read as {path.suffix or 'a folder of .npy'},"):
        entries, texts = reader(path)
    return Store(name, entries, texts)


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Turn the errors of a damaged file into one that names it."""
    damages = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, SafetensorError)
    try:
        yield
    except damages as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{what} is damaged or cut short ({reason}); write it again.") from error


Found = tuple[dict[str, Entry], dict[str, str]]


def _of_npz(path: Path) -> Found:
    entries = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                shape, dtype = _header(file)
            key = member.removesuffix(".npy")
            entries[key] = Entry(shape, dtype, partial(_from_npz, path, key))
    return entries, {}


def _from_npz(path: Path, key: str) -> NDArray:
    with np.load(path, allow_pickle=False) as archive:
        array: NDArray = archive[key]
        return array


def _of_folder(path: Path) -> Found:
    entries = {}
    for file in sorted(path.glob("*.npy")):
        with file.open("rb") as opened_file:
            shape, dtype = _header(opened_file)
        entries[file.stem] = Entry(shape, dtype, partial(np.load, file, allow_pickle=False))
    return entries, {}


def _header(file: Any) -> tuple[tuple[int, ...], str]:
    """Return shape and type of the array in a .npy file."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"version {version} of .npy is for arrays with named fields")
    shape, _, dtype = readers[version](file)
    return shape, "O (objects)" if dtype.hasobject else str(dtype)


def _of_safetensors(path: Path) -> Found:
    entries = {}
    with safe_open(path, framework="pt") as file:
        texts = dict(file.metadata() or {})
        for key in file.keys():  # noqa: SIM118 - not a dict
            part = file.get_slice(key)
            shape = tuple(part.get_shape())
            entries[key] = Entry(shape, part.get_dtype(), partial(_tensor, path, key))
    return entries, texts


def _tensor(path: Path, key: str) -> Any:
    with safe_open(path, framework="pt") as file:
        return file.get_tensor(key)

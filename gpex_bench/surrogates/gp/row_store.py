"""Embeddings of the inducing points in memory or on disk, as fixed-point or floating-point numbers.

Embeddings are bounded by their norm, so that 16-bit fixed point (a step of bound / 32767) is ten to
a hundred times more accurate than a 16-bit float of the same size. What is read is what was
written, rounded once: sums that are patched with `rounded` rows do not drift.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Kind = Literal["int16", "float32", "float64"]
LEVELS = 32767  # steps from 0 to the bound
BLOCK = 16384  # rows at a time: 13 MB in float32 for 10 heads of 20 dimensions
FORGET = 64 << 20  # touched bytes of a file after which its pages are given back to the system
AROUND = 64 << 10  # bytes that the system brings in around a touched row


class RowStore:
    """Numbers [n, group, dim], zero at first.

    They may also be targets: `group` and `dim` are then groups and outputs.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        kind: Kind = "float32",
        bound: float = 1.0,
        path: Path | None = None,
    ) -> None:
        """Reserve the room, in memory or in a file; a file that exists already is continued.

        `bound` is the largest magnitude that int16 can hold; the floating-point kinds have none.

        Raises:
            ValueError: a size below 1, an unknown kind, a bound that is not positive, or a file of
                another size.
        """
        if min(shape) < 1:
            raise ValueError(
                f"shape must be at least 1 row, 1 group and 1 dimension, got {tuple(shape)}."
            )
        if kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}.")
        if not 0 < bound < float("inf"):
            raise ValueError(f"bound must be positive and finite, got {bound}.")

        self.shape = tuple(shape)
        self.path = path
        self._bound = bound
        self._step = bound / LEVELS if kind == "int16" else None
        self._touched = 0
        self._map = None
        if path is None:
            self._data = torch.zeros(shape, dtype=getattr(torch, kind))
            return

        n_bytes = math.prod(shape) * np.dtype(kind).itemsize
        if path.exists() and path.stat().st_size != n_bytes:
            raise ValueError(
                f"path must be a new file or one of {n_bytes} bytes, "
                f"got {path.stat().st_size} bytes."
            )
        mode: Literal["r+", "w+"] = "r+" if path.exists() else "w+"
        self._map = np.memmap(path, dtype=kind, mode=mode, shape=tuple(shape))
        self._data = torch.from_numpy(self._map)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Int[Tensor, "row"] | slice) -> Float[Tensor, "row group dim"]:
        """Return rows in any order, repeated ones too.

        The index may be on any device, the rows are on the CPU.
        """
        index = index if isinstance(index, slice) else index.cpu()
        self._forget(index)
        return self._decoded(self._data[index].clone())

    def __setitem__(
        self, index: Int[Tensor, "row"] | slice, rows: Float[Tensor, "row group dim"]
    ) -> None:
        """Round and write rows.

        Raises:
            ValueError: a number that int16 with this bound cannot hold.
        """
        index = index if isinstance(index, slice) else index.cpu()
        self._data[index] = self._encoded(rows.cpu())
        self._forget(index)

    def rounded(self, rows: Float[Tensor, "row group dim"]) -> Float[Tensor, "row group dim"]:
        """Return the rows as they will be read."""
        return self._decoded(self._encoded(rows))

    def blocks(self, size: int = BLOCK) -> Iterator[Float[Tensor, "_ group dim"]]:
        """Yield all rows in order, block by block; of a file, only one block is in memory."""
        if self.path is None:
            for part in self._data.split(size):
                yield self._decoded(part)
            return

        dtype = self._data.numpy().dtype
        per_row = self.shape[1] * self.shape[2]
        with self.path.open("rb") as file:
            for start in range(0, len(self), size):
                n = min(size, len(self) - start)
                part = np.fromfile(file, dtype, n * per_row)
                yield self._decoded(torch.from_numpy(part).view(n, *self.shape[1:]))

    @property
    def raw(self) -> Tensor:
        """The stored numbers themselves, for a checkpoint; writing to them writes to the store."""
        return self._data

    def _encoded(self, rows: Tensor) -> Tensor:
        """Return numbers as they are stored."""
        if self._step is None:
            return rows.detach().to(self._data.dtype)
        if not bool((rows.abs() <= self._bound * (1 + 1e-5)).all()):
            largest = rows.abs().max().item()
            raise ValueError(
                f"rows must be finite and within the bound {self._bound:g} of this int16 store, "
                f"got {largest:g}; raise the bound or store float32."
            )
        steps = (rows.detach() / self._step).round()
        return steps.clamp(-LEVELS, LEVELS).to(torch.int16)

    def _decoded(self, stored: Tensor) -> Tensor:
        """Return stored numbers as floating-point ones."""
        return stored if self._step is None else stored.float() * self._step

    def _forget(self, index: Tensor | slice) -> None:
        """Now and then give the touched pages of the file back to the system; nothing is lost."""
        if self._map is None:
            return

        row = self.shape[1] * self.shape[2] * self._map.itemsize
        if isinstance(index, slice):
            n_rows = len(range(*index.indices(len(self))))
            self._touched += row * n_rows
        else:
            self._touched += max(row, AROUND) * len(index)

        if self._touched >= FORGET:
            pages: mmap.mmap = self._map._mmap  # type: ignore[attr-defined]
            pages.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

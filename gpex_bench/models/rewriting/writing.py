"""Writing into a part of a signal: what was there goes, what is written comes."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from gpex_bench.models.rewriting.arithmetic import scale, shift
from gpex_bench.models.rewriting.filled import Filled
from gpex_bench.models.rewriting.generalising import Rows, Shape
from gpex_bench.models.rewriting.operations import Add, Move
from gpex_bench.models.rewriting.parts import placed, written
from gpex_bench.models.rewriting.site import NotKnown, Site, is_signal, translates

ALL = slice(None)


@translates("written")
def write(site: Site, base: Any, index: Any, value: Any) -> fx.Node:
    """Keep the rest of what is written to, and add what is written."""
    one_row = _one_row(site, index)
    is_kept = written(torch.ones(one_row, dtype=site.dtype), index, 0).to(site.builder.device)

    parts = []
    added = site.number(0)
    if is_signal(base):
        parts.append(scale(site, base, is_kept))
    else:
        added = site.number(base) * is_kept
    if is_signal(value):
        move = Move(Filled(placed, (value, index, site.shape), {}, [value]), "write")
        parts.append(site.emit(move, value, name="write"))
    else:
        added = added + placed(site.number(value), index, one_row)

    node = parts[0] if len(parts) == 1 else site.emit(Add(), *parts)
    return shift(site, node, added) if bool(added.any()) else node


def _one_row(site: Site, index: Any) -> tuple[int, ...]:
    """Return the shape of one row; NotKnown if the index chooses among the rows."""
    first = index[0] if isinstance(index, tuple) else index
    keeps_rows = first is ... or first == ALL
    is_constant = not site.has_signals(index) and not site.has_rows(index)
    others: Shape = site.shape[1:]
    has_rows_first = not any(isinstance(size, Rows) for size in others)
    if not (is_constant and keeps_rows and others and has_rows_first):
        raise NotKnown
    return (1, *[size for size in others if isinstance(size, int)])

"""Rows in memory and on disk: what is read is what was written, rounded once."""

import pytest
import torch

from gpex_bench.surrogates.gp import row_store
from gpex_bench.surrogates.gp.row_store import LEVELS, RowStore


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(
    ("kind", "error"), [("int16", 0.5 / LEVELS * 2.0), ("float32", 2.0**-23), ("float64", 0)]
)
def test_rows_come_back_rounded_once(kind, error, on_disk, tmp_path):
    rows = (
        torch.rand(101, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4
        - 2
    )
    store = RowStore((101, 3, 5), kind, bound=2.0, path=tmp_path / "rows" if on_disk else None)
    store[:] = rows
    assert len(store) == 101
    assert (store[:] - rows).abs().max() <= error * 1.01
    assert torch.equal(store[:].to(torch.float64), store.rounded(rows).to(torch.float64))
    assert torch.equal(store.rounded(store[:]), store[:])
    index = torch.tensor([7, 100, 7, 0])
    assert torch.equal(store[index], store[:][index])
    assert torch.equal(torch.cat([*store.blocks(40)]), store[:])
    store[torch.tensor([3, 1])] = rows[:2]
    assert torch.equal(store[torch.tensor([1])], store.rounded(rows[1:2]))
    assert torch.equal(torch.cat([*store.blocks(7)]), store[:])


def test_a_file_survives_giving_its_pages_back(tmp_path, monkeypatch):
    monkeypatch.setattr(row_store, "FORGET", 100)
    store = RowStore((50, 1, 2), "int16", path=tmp_path / "rows")
    for step in range(300):
        store[torch.tensor([step % 50])] = torch.full((1, 1, 2), step % 50 / 50)
    torch.testing.assert_close(store[:][:, 0, 0], torch.arange(50) / 50, atol=1e-4, rtol=0)


@pytest.mark.parametrize("bad", [1.1, float("nan"), float("inf")])
def test_fixed_point_refuses_what_it_cannot_hold(bad):
    store = RowStore((4, 1, 2), "int16")
    with pytest.raises(
        ValueError, match="rows must be finite and within the bound 1 of this int16 store"
    ):
        store[:] = torch.full((4, 1, 2), bad)


def test_a_file_is_gone_on_with(tmp_path):
    rows = torch.rand(5, 1, 2, generator=torch.Generator().manual_seed(0))
    RowStore((5, 1, 2), path=tmp_path / "rows")[:] = rows
    assert torch.equal(RowStore((5, 1, 2), path=tmp_path / "rows")[:], rows)
    with pytest.raises(
        ValueError, match="path must be a new file or one of 48 bytes, got 40 bytes"
    ):
        RowStore((6, 1, 2), path=tmp_path / "rows")


def test_bad_stores_are_refused(unchecked):
    with pytest.raises(
        ValueError, match=r"shape must be at least 1 row, 1 group and 1 dimension, got \(0, 1, 2\)"
    ):
        RowStore((0, 1, 2))
    with pytest.raises(ValueError, match="kind must be one of int16, float32, float64, got 'int8'"):
        RowStore((1, 1, 2), "int8")
    with pytest.raises(ValueError, match="bound must be positive and finite, got 0"):
        RowStore((1, 1, 2), "int16", bound=0.0)

"""The comparison of two result trees finds a changed number, and lets listed renames pass."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from gpex_bench.plugins.registry import ROOT, load

same = load(ROOT / "benchmarks" / "same_numbers.py", "same_numbers")


@pytest.fixture
def trees(tmp_path):
    """Two equal trees."""
    for name in ("old", "new"):
        folder = tmp_path / name
        (folder / "tables").mkdir(parents=True)
        table = pd.DataFrame({"method": ["a", "b"], "score": [0.1, 0.2], "seconds": [1.0, 2.0]})
        table.to_csv(folder / "tables" / "scores.csv", index=False)
        table.to_parquet(folder / "scores.parquet")
        save_file({"weight": torch.arange(3.0)}, folder / "model.safetensors")
    return tmp_path / "old", tmp_path / "new"


def found(trees, **renames):
    return {
        name: how for name, how in same.differences(*trees, same.Renames(**renames)) if how != ""
    }


def test_equal_trees_are_equal(trees):
    assert found(trees) == {}


def test_a_changed_number_is_named(trees):
    table = pd.read_parquet(trees[1] / "scores.parquet")
    table.loc[0, "score"] += 1e-12
    table.to_parquet(trees[1] / "scores.parquet")
    save_file({"weight": torch.arange(3.0) + 1}, trees[1] / "model.safetensors")
    assert found(trees) == {
        "scores.parquet": "values of score (by at most 1e-12)",
        "model.safetensors": "values of weight",
    }


def test_rows_in_another_order_and_missing_files_are_named(trees):
    table = pd.read_csv(trees[1] / "tables/scores.csv")
    table[::-1].to_csv(trees[1] / "tables/scores.csv", index=False)
    (trees[1] / "scores.parquet").unlink()
    assert found(trees) == {"scores.parquet": "missing", "tables/scores.csv": "order of the rows"}


def test_listed_renames_pass_and_others_do_not(trees):
    table = pd.read_parquet(trees[1] / "scores.parquet")
    table = table.rename(columns={"score": "value"}).replace({"a": "first"}).assign(seconds=9.0)
    (trees[1] / "moved").mkdir()
    table.to_parquet(trees[1] / "moved" / "scores.parquet")
    (trees[1] / "scores.parquet").unlink()
    renames = {
        "paths": {"scores.parquet": "moved/scores.parquet"},
        "columns": {"score": "value"},
        "values": {"a": "first"},
    }
    assert found(trees, **renames) == {"scores.parquet": "values of seconds (by at most 8)"}
    assert found(trees, **renames, measured=("seconds",)) == {"scores.parquet": "renamed"}

"""Compare the data files of two result trees, byte for byte, up to a list of what was renamed.

    python benchmarks/same_numbers.py OLD NEW [--renamed FILE.yaml]

OLD and NEW are folders such as results/default of two checkouts. Every CSV, parquet and safetensors
file of OLD must be in NEW. Files whose bytes differ are read and compared again, with the listed
renames applied to OLD: tables by content, tensors by name. Columns of measured seconds and bytes,
which differ between any two runs, are listed under `measured`. Prints one line for each file that
changed, the renames, and a summary; the exit status is 1 if a number changed.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from safetensors import safe_open

ENDINGS = (".csv", ".parquet", ".safetensors")


@dataclass(frozen=True)
class Renames:
    """What is called otherwise in the new tree."""

    paths: Mapping[str, str] = field(default_factory=dict)  # old part of a path → new part
    dropped: tuple[str, ...] = ()  # old paths, by pattern, that have no counterpart on purpose
    columns: Mapping[str, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()  # columns that only the new tables have
    values: Mapping[str, str] = field(default_factory=dict)  # cells of text
    measured: tuple[str, ...] = ()  # columns of seconds and bytes, which are not compared

    @classmethod
    def read(cls, path: Path | None) -> Renames:
        """Return the renames in a YAML file; none without one."""
        if path is None:
            return cls()
        written = yaml.safe_load(path.read_text())
        return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in written.items()})

    def path(self, old: str) -> str:
        """Return where an old file is in the new tree."""
        for before, after in self.paths.items():
            old = old.replace(before, after)
        return old


def read_table(path: Path) -> pd.DataFrame:
    """Return a CSV file as text, cell by cell, or a parquet file with its types."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def difference_of_tables(old: pd.DataFrame, new: pd.DataFrame, renames: Renames) -> str:
    """Return how two tables differ beyond the renames; an empty text if they do not."""
    old = old.rename(columns=dict(renames.columns)).replace(dict(renames.values))
    ignored = [name for name in (*renames.measured, *renames.added) if name in new.columns]
    old = old.drop(columns=ignored, errors="ignore")
    new = new.drop(columns=ignored)

    if list(old.columns) != list(new.columns):
        only_old = sorted(set(old.columns) - set(new.columns))
        only_new = sorted(set(new.columns) - set(old.columns))
        return f"columns: only old {only_old}, only new {only_new}"
    if len(old) != len(new):
        return f"rows: {len(old)} before, {len(new)} after"

    changed = [name for name in old.columns if not old[name].equals(new[name])]
    if not changed:
        return ""

    rows_before, rows_after = (sorted(map(str, table.to_numpy().tolist())) for table in (old, new))
    if rows_before == rows_after:
        return "order of the rows"
    return f"values of {', '.join(changed)}{largest_change(old[changed], new[changed])}"


def largest_change(old: pd.DataFrame, new: pd.DataFrame) -> str:
    """Return the largest absolute difference of numbers, as text; empty without numbers."""
    before = old.apply(pd.to_numeric, errors="coerce")
    after = new.apply(pd.to_numeric, errors="coerce")
    largest = (before - after).abs().max().max()
    return "" if pd.isna(largest) else f" (by at most {largest:.2g})"


def tensors(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    """Return the tensors of a file by name, and the text stored beside them."""
    with safe_open(path, framework="np") as file:
        return {name: file.get_tensor(name) for name in sorted(file.keys())}, file.metadata()


def difference_of_tensors(old: Path, new: Path) -> str:
    """Return how two files of tensors differ; an empty text if they do not."""
    (before, note_before), (after, note_after) = tensors(old), tensors(new)
    if list(before) != list(after):
        return f"names: {sorted(set(before) ^ set(after))}"
    changed = [name for name in before if before[name].tobytes() != after[name].tobytes()]
    if changed:
        return f"values of {', '.join(changed)}"
    return "" if note_before == note_after else "text beside the tensors"


def differences(old: Path, new: Path, renames: Renames) -> Iterator[tuple[str, str]]:
    """Yield each data file of the old tree with what differs.

    Nothing, "renamed" or a description.
    """
    for path in sorted(found for found in old.rglob("*") if found.suffix in ENDINGS):
        name = path.relative_to(old).as_posix()
        other = new / renames.path(name)
        if any(path.match(pattern) for pattern in renames.dropped):
            yield name, "dropped"
        elif not other.is_file():
            yield name, "missing"
        elif path.read_bytes() == other.read_bytes():
            yield name, ""
        elif path.suffix == ".safetensors":
            yield name, difference_of_tensors(path, other) or "renamed"
        else:
            found = difference_of_tables(read_table(path), read_table(other), renames)
            yield name, found or "renamed"


def main() -> int:
    """Compare and print; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--renamed", type=Path, help="YAML file: what is called otherwise in NEW")
    options = parser.parse_args()

    renames = Renames.read(options.renamed)
    counted: Counter[str] = Counter()
    for name, found in differences(options.old, options.new, renames):
        fine = found in ("", "renamed", "dropped")
        counted["the same bytes" if found == "" else found if fine else "CHANGED"] += 1
        if not fine:
            sys.stdout.write(f"CHANGED {name}: {found}\n")

    for key, listed in vars(renames).items():
        if listed:
            sys.stdout.write(f"{key}: {listed}\n")
    sys.stdout.write(", ".join(f"{n} {kind}" for kind, n in sorted(counted.items())) + "\n")
    return int(bool(counted["CHANGED"]) or not counted)


if __name__ == "__main__":
    sys.exit(main())

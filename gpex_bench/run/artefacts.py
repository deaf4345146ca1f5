"""Artefacts on disk: tensors, tables and texts, each with a sidecar that says where it came from.

Data files are byte-reproducible; dates, costs and versions are in the sidecar `<stem>.json` alone.
Writes are atomic: a file is there completely or not at all. Reading checks the content against the
sidecar.
"""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gpex_bench.measurements.curves import ORDERS, Curves, Removals
from gpex_bench.run import provenance
from gpex_bench.tables.columns import KEYS
from gpex_bench.types import (
    Attribution,
    Dataset,
    Examples,
    Explanation,
    Kind,
    Prototype,
    Query,
    Retrained,
    Split,
    Truth,
    value,
)

FORMAT = 1


class DamagedFile(Exception):
    """An artefact that is missing, cut short, or does not match its sidecar."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file completely or not at all.

    Raises:
        OSError: the content cannot be stored; names the file and what to do. Nothing stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = (
            "free some space and run again"
            if full
            else "check the folder's permissions and run again"
        )
        reason = f"cannot write {path} ({len(content):,} bytes): {error.strerror}; {advice}."
        raise OSError(error.errno, reason) from error


def sidecar(path: Path) -> Path:
    """Return the path of an artefact's sidecar."""
    return path.with_suffix(".json")


def describe(path: Path, *, kind: str, inputs: list[Path] | None = None, **entries: Any) -> None:
    """Write the sidecar of an artefact that is already on disk.

    Args:
        path: the artefact.
        kind: what it is (data, model, surrogate, explanation, scores, ...).
        inputs: the artefacts it was made from; recorded with their hashes, relative to the working
            folder.
        entries: key, params, seed, cost, status, fingerprint, ...
    """
    fingerprint = entries.pop("fingerprint", None)
    record = {
        "format": FORMAT,
        "kind": kind,
        **entries,
        "inputs": {_relative(file): provenance.sha256(file) for file in inputs or []},
        "bytes": path.stat().st_size,
        "sha256": provenance.sha256(path),
        "code": {
            "version": provenance.version("gpex-bench"),
            **provenance.commit(),
            "fingerprint": fingerprint,
        },
        "environment": provenance.environment(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_bytes(sidecar(path), (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())


def _relative(path: Path) -> str:
    path = path.resolve()
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.name


def read_sidecar(path: Path) -> dict[str, Any]:
    """Return the sidecar of an artefact.

    Raises:
        DamagedFile: if it is missing or is not JSON.
    """
    try:
        return dict(json.loads(sidecar(path).read_text()))
    except (OSError, ValueError) as error:
        raise DamagedFile(
            advice(path, f"its sidecar {sidecar(path).name} cannot be read ({error})")
        ) from error


def read_key(path: Path) -> dict[str, Any]:
    """Return what an artefact belongs to, from its sidecar: dataset, model, seed, method, ...

    Raises:
        DamagedFile: the sidecar is missing, is not JSON or has no key.
    """
    key = read_sidecar(path).get("key")
    if key is None:
        raise DamagedFile(advice(path, f"its sidecar {sidecar(path).name} has no key"))

    first = {name: key[name] for name in KEYS if name in key}
    ordered = {**first, **key}  # the sidecar sorts its entries by name
    if "seed" in ordered:
        ordered["seed"] = int(ordered["seed"])
    return ordered


def advice(path: Path, reason: str) -> str:
    """Return the message about a damaged file: which, why, and what to do."""
    remedy = "Delete it and run again; what was made from it is then made again too."
    return f"{path} is damaged: {reason}. {remedy}"


def _checked(path: Path) -> Path:
    """Return the path of an artefact after checking its content against its sidecar."""
    record = read_sidecar(path)
    try:
        size, found = path.stat().st_size, provenance.sha256(path)
    except OSError as error:
        raise DamagedFile(advice(path, f"it cannot be read ({error.strerror})")) from error
    if size != record.get("bytes"):
        raise DamagedFile(
            advice(path, f"it has {size:,} bytes, its sidecar says {record.get('bytes'):,}")
        )
    if found != record.get("sha256"):
        raise DamagedFile(advice(path, "its content differs from what its sidecar recorded"))
    return path


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, Any] | None = None
) -> None:
    """Write named tensors as safetensors; `note` is stored as one JSON entry.

    Tensors that share memory, such as tied weights, are written once for each name.
    """
    contiguous: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        contiguous[name] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    metadata = None if note is None else {"note": json.dumps(note, sort_keys=True)}
    write_bytes(path, save(contiguous, metadata))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the note of a safetensors file.

    Raises:
        DamagedFile: if the file is missing or does not match its sidecar.
    """
    _checked(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            note = json.loads((file.metadata() or {}).get("note", "{}"))
    except SafetensorError as error:
        raise DamagedFile(advice(path, f"it is not a safetensors file ({error})")) from error
    return tensors, note


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file that is no sidecar."""
    write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        DamagedFile: if it is missing or cut short.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DamagedFile(advice(path, f"it cannot be read ({error})")) from error


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as parquet."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    write_bytes(path, buffer.getvalue())


def read_table(path: Path) -> pd.DataFrame:
    """Return a parquet table.

    Raises:
        DamagedFile: if the file is missing or does not match its sidecar.
    """
    return pd.read_parquet(io.BytesIO(_checked(path).read_bytes()))


QUERY_PARTS = ("sample", "target")  # what of a query is stored with its explanation
_EXPLANATIONS: dict[str, type] = {cls.__name__: cls for cls in (Attribution, Examples, Prototype)}


def write_dataset(path: Path, data: Dataset) -> None:
    """Write a dataset as safetensors."""
    tensors = {"baseline": data.baseline}
    for part, split in (("train", data.train), ("test", data.test)):
        tensors |= {f"{part}.x": split.x, f"{part}.y": split.y, f"{part}.sample": split.sample}
    if data.truth is not None:
        truth = data.truth
        tensors |= {
            "mask": truth.mask,
            "train_group": truth.train_group,
            "test_group": truth.test_group,
        }
    note: dict[str, Any] = {
        "name": data.name,
        "classes": data.classes,
        "features": data.features,
    }
    note |= {"kind": data.kind.value, "unit": data.unit, "groups": data.groups}
    if data.scales:
        note["scales"] = data.scales
    write_tensors(path, tensors, note)


def read_dataset(path: Path) -> Dataset:
    """Return a dataset written by `write_dataset`; raises DamagedFile."""
    tensors, note = read_tensors(path)
    train, test = (
        Split(**{key: tensors[f"{part}.{key}"] for key in ("x", "y", "sample")})
        for part in ("train", "test")
    )
    truth = None
    if "mask" in tensors:
        truth = Truth(**{key: tensors[key] for key in ("mask", "train_group", "test_group")})
    return Dataset(
        name=note["name"],
        train=train,
        test=test,
        classes=tuple(note["classes"]),
        features=tuple(note["features"]),
        baseline=tensors["baseline"],
        truth=truth,
        kind=Kind(note.get("kind", Kind.CLASSES)),
        unit=note.get("unit", ""),
        groups=tuple(tuple(group) for group in note.get("groups", ())),
        scales=tuple((mean, deviation) for mean, deviation in note.get("scales", ())),
    )


def write_explanation(
    path: Path, query: Query | None, tensors: Mapping[str, Tensor], note: Mapping[str, Any]
) -> None:
    """Write an explain cell's result: tensors (none if it failed), sample, target and a note.

    Args:
        path: of the file.
        query: what was asked; None if nothing was, because something that it needs is missing.
        tensors: the explanation, by field.
        note: status, reason, rows, and the kind of explanation.
    """
    parts = {}
    if query is not None:
        parts = {f"query.{name}": getattr(query, name) for name in QUERY_PARTS}
    write_tensors(path, {**tensors, **parts}, note)


@value
class StoredExplanation:
    """What an explain cell wrote."""

    path: Path
    explanation: Explanation | None  # None if the cell is not ok
    note: Mapping[str, Any]  # status, reason, rows and the kind of explanation
    query: Mapping[str, Tensor]  # sample and target of the query that it answers

    def check_query(self, query: Query) -> None:
        """Check that the explanation answers this query.

        Raises:
            DamagedFile: it was made for other samples or targets.
        """
        for name, tensor in self.query.items():
            if not torch.equal(tensor, getattr(query, name)):
                reason = f"it was made for another query (its {name} differs)"
                raise DamagedFile(advice(self.path, reason))

    def retrained(self) -> Retrained | None:
        """Return what a metric of another training seed compares with; None if there is nothing."""
        if self.explanation is None:
            return None
        return Retrained(explanation=self.explanation, **self.query)


def read_explanation(path: Path) -> StoredExplanation:
    """Return what an explain cell wrote; raises DamagedFile."""
    tensors, note = read_tensors(path)
    asked = [name for name in QUERY_PARTS if f"query.{name}" in tensors]
    query = {name: tensors.pop(f"query.{name}") for name in asked}

    explanation = None
    if note["status"] == "ok":
        explanation = _EXPLANATIONS[note["explains"]](**tensors)
    return StoredExplanation(path=path, explanation=explanation, note=note, query=query)


def write_curves(
    path: Path,
    curves: Mapping[Curves, Removals],
    query: Query | None,
    fills: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Write the removal curves of a cell (none, if it has none) and the samples they belong to.

    Args:
        path: of the file.
        curves: in the order in which they are written.
        query: what was explained.
        fills: those that differ, each with those that show the same.
    """
    tensors = {} if query is None else {name: getattr(query, name) for name in QUERY_PARTS}
    for number, removals in enumerate(curves.values()):
        tensors |= {f"{number}.{name}": getattr(removals, name) for name in ("fraction", *ORDERS)}
    listed = {fill: list(names) for fill, names in fills.items()}
    write_tensors(path, tensors, {"curves": [asdict(key) for key in curves], "fills": listed})


def read_curves(path: Path) -> tuple[dict[Curves, Removals], Tensor, dict[str, list[str]]]:
    """Return the removal curves of a cell, its samples and its fills; raises DamagedFile."""
    tensors, note = read_tensors(path)
    found = {
        Curves(**key): Removals(
            **{name: tensors[f"{number}.{name}"] for name in ("fraction", *ORDERS)}
        )
        for number, key in enumerate(note["curves"])
    }
    return found, tensors.get("sample", torch.zeros(0, dtype=torch.int64)), note["fills"]

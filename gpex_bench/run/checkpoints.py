"""Checkpoints of long fits, from which a killed job resumes, and the progress that writes them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gpex_bench.run import artefacts
from gpex_bench.types import Progress
from gpex_bench.types.demands import DamagedCheckpoint

log = logging.getLogger("gpex_bench")


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write the state of unfinished work, with a checksum in place of a sidecar."""
    artefacts.write_tensors(path, tensors, {"checksum": _checksum(tensors)})


def read_checkpoint(path: Path) -> dict[str, Tensor] | None:
    """Return the state of unfinished work, or None if there is none.

    Raises:
        DamagedCheckpoint: the file is not what was written. Writing is atomic, so that a killed
            process is not the cause.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            note = json.loads((file.metadata() or {}).get("note", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedCheckpoint(
            artefacts.advice(path, f"it is not a checkpoint ({error})")
        ) from error
    if note.get("checksum") != _checksum(tensors):
        raise DamagedCheckpoint(artefacts.advice(path, "its content differs from its checksum"))
    return tensors


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of names, types, shapes and content."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(
            tensor.view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        )
    return digest.hexdigest()


class LoggedProgress(Progress):
    """Progress that is logged; checkpoints are in `<output>.checkpoint`."""

    def __init__(self, name: str, output: Path | None = None) -> None:
        self.name = name
        self.checkpoint = None if output is None else output.with_name(f"{output.name}.checkpoint")

    def __call__(self, text: str) -> None:
        """Log one line."""
        log.info("%s: %s", self.name, text)

    def keep(self, state: Mapping[str, Tensor]) -> None:
        """Write a checkpoint in place of the last one."""
        if self.checkpoint is not None:
            write_checkpoint(self.checkpoint, state)

    def kept(self) -> Mapping[str, Tensor] | None:
        """Return the last checkpoint; raises DamagedCheckpoint if it is not what was written."""
        if self.checkpoint is None:
            return None

        state = read_checkpoint(self.checkpoint)
        if state is not None:
            self(f"found the checkpoint {self.checkpoint}")
        return state

    def forget(self) -> None:
        """Remove the checkpoint of work that is done."""
        if self.checkpoint is not None:
            self.checkpoint.unlink(missing_ok=True)

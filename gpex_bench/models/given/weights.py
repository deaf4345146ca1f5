"""Weights from files of others: read without running any code that is in them, and fitted by name.

safetensors, and what `torch.save` wrote of a state_dict, alone or in a checkpoint. A file may hold
Python objects, whose loading runs code: such files are refused.
"""

from __future__ import annotations

import argparse
import difflib
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gpex_bench.models.given.errors import CannotWrap

# where checkpoints keep a state_dict, the first one that is there
NESTED = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module"),
    *("weights", "params", "ema_state_dict", "state_dict_ema", "model_ema", "ema", "params_ema"),
)
# what wrappers put before each name: DataParallel, torch.compile, training frameworks
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.")
# what checkpoints hold beside weights, and what is no code: options, and numbers of numpy
HARMLESS: list[Any] = [
    *(argparse.Namespace, np.dtype),
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u1", "?")),
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),  # files before numpy 2
    np.float64(0).__reduce__()[0],
]
N_LISTED = 5  # keys of each kind in a message
IGNORED = "num_batches_tracked"  # a counter that old files lack and eval mode doesn't read
LFS = b"version https://git-lfs"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, in float32 where they are floating-point.

    Args:
        path: .safetensors, or what `torch.save` wrote of a state_dict or of a checkpoint that holds
            one; the content decides, not the ending.

    Raises:
        CannotWrap: there is no such file, or it holds something else; says what and what to do.
    """
    path = Path(path).expanduser()
    start = _start(path)
    if _is_safetensors(start):
        tensors = _from_safetensors(path)
    else:
        tensors = _state(_from_torch(path, start), path)

    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CannotWrap(f"{path}: the weight {name!r} holds NaN or infinite numbers.")
    return {name: _single(tensor) for name, tensor in tensors.items()}


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> list[str]:
    """Give a network the weights of a file, and return notes on how the names were fitted.

    Prefixes that wrappers put before names are taken off, as far as that makes names fit.

    Raises:
        CannotWrap: names or shapes differ; lists them, with what was expected.
    """
    wanted = network.state_dict()
    prefix, fitted = _without_prefix(tensors, wanted)

    notes = [f"the prefix {prefix!r} of the weights' names was taken off"] if prefix else []
    beside = sorted(name for name in tensors if not name.startswith(prefix))
    if beside:
        notes.append(f"left out of the file: {_listed(beside)}")

    missing = [name for name in wanted if name not in fitted and not name.endswith(IGNORED)]
    unexpected = [name for name in fitted if name not in wanted]
    differing = [
        name for name in fitted if name in wanted and fitted[name].shape != wanted[name].shape
    ]
    if missing or unexpected or differing:
        raise CannotWrap(_mismatch(path, fitted, wanted, (missing, unexpected, differing)))
    network.load_state_dict(fitted, strict=False)
    return notes


# --- reading ---


def _start(path: Path) -> bytes:
    """Return the first bytes of a file."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        reason = "is a folder" if path.is_dir() else f"cannot be read ({error.strerror})"
        raise CannotWrap(f"{path} {reason}; weights must name a file.") from error

    if not start:
        raise CannotWrap(f"{path} is empty; copy the weights again.")
    if start.startswith(LFS):
        raise CannotWrap(
            f"{path} is a pointer of Git LFS, not the weights; get them by `git lfs pull`."
        )
    return start


def _is_safetensors(start: bytes) -> bool:
    """Return whether a file begins with the size of a JSON header."""
    return len(start) > 9 and start[8:9] == b"{"


def _from_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CannotWrap(
            f"{path} is not a whole safetensors file ({error}); copy it again."
        ) from error


def _from_torch(path: Path, start: bytes) -> Any:
    """Return what torch.save wrote."""
    is_zip = start.startswith(b"PK")
    if is_zip and not zipfile.is_zipfile(path):
        raise CannotWrap(f"{path} is cut short or damaged; copy it again.")
    if not is_zip and start[:1] != b"\x80":
        raise CannotWrap(
            f"{path} holds no weights (it begins with {start[:16]!r}); {_how_to_save()}"
        )

    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(HARMLESS):
            warnings.simplefilter("ignore")  # of TorchScript archives, which are refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CannotWrap(_why_not(path, is_zip, str(error))) from error


def _why_not(path: Path, is_zip: bool, message: str) -> str:
    """Return why torch cannot load a file, and what to do."""
    found = re.search(r"GLOBAL ([\w.]+)", message)
    if found is not None:
        return (
            f"{path} holds Python objects ({found[1]}), which are not loaded because that runs "
            f"code of the file; {_how_to_save()}"
        )

    if "TorchScript" in message:
        return (
            f"{path} is a TorchScript archive, not weights; load it by torch.jit.load in the "
            "function that `build` names, and leave `weights` out."
        )
    if is_zip and not _has_pickle(path):
        return f"{path} is a zip file of something else than weights; {_how_to_save()}"
    first = message.splitlines()[0] if message else "unknown"
    return f"{path} cannot be loaded ({first}); it may be cut short: copy it again, or " + (
        _how_to_save()
    )


def _has_pickle(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("data.pkl") for name in archive.namelist())


def _how_to_save() -> str:
    return "save them by torch.save(network.state_dict(), path), where they were made."


def _state(loaded: Any, path: Path) -> dict[str, Tensor]:
    """Return the state_dict that a file holds, alone or within a checkpoint."""
    if isinstance(loaded, Mapping):
        for name in NESTED:
            inner = loaded.get(name)
            if isinstance(inner, Mapping) and _tensors(inner):
                return _tensors(inner)
        if _tensors(loaded):
            return _tensors(loaded)

    kind = type(loaded).__name__
    keys = f" with the entries {_listed(map(str, loaded))}" if isinstance(loaded, Mapping) else ""
    raise CannotWrap(f"{path} holds no state_dict but a {kind}{keys}; {_how_to_save()}")


def _tensors(entries: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(name): entry for name, entry in entries.items() if isinstance(entry, Tensor)}


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


# --- fitting names ---


def _without_prefix(
    tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> tuple[str, dict[str, Tensor]]:
    """Return the prefix after which most names fit, and the tensors that have it, without it."""
    tried = [""]
    for before in tried:
        for prefix in PREFIXES:
            longer = before + prefix
            if len(longer) < 64 and any(name.startswith(longer) for name in tensors):
                tried.append(longer)

    def n_fitting(prefix: str) -> int:
        return sum(prefix + name in tensors for name in wanted)

    best = max(tried, key=n_fitting)  # the first, which is the shortest, of equals
    fitted = {
        name.removeprefix(best): tensor for name, tensor in tensors.items() if name.startswith(best)
    }
    return best, fitted


def _mismatch(
    path: str | Path,
    fitted: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    names: tuple[list[str], list[str], list[str]],
) -> str:
    """Return which weights do not fit, and how that may have come about."""
    missing, unexpected, differing = names
    parts = []

    if differing:
        listed = [
            f"{name}: the file has {_size(fitted[name])}, the network {_size(wanted[name])}"
            for name in differing
        ]
        parts.append(f"other shapes ({_listed(listed, '; ')})")
    if missing:
        listed = [f"{name} {_size(wanted[name])}" for name in missing]
        parts.append(f"missing in the file ({_listed(listed)})")
    if unexpected:
        listed = [f"{name} {_size(fitted[name])}" for name in unexpected]
        parts.append(f"not in the network ({_listed(listed)})")
    text = f"{path} does not fit the network that `build` makes: {'; '.join(parts)}."
    return f"{text} {_hint(fitted, wanted, names)}".rstrip()


def _hint(
    fitted: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    names: tuple[list[str], list[str], list[str]],
) -> str:
    """Return what may be behind a mismatch."""
    missing, unexpected, differing = names
    last = list(wanted)[-2:]
    if differing and set(differing) <= set(last) and not missing:
        n_file = fitted[differing[0]].shape[0]
        n_network = wanted[differing[0]].shape[0]
        return (
            f"The last layer of the file has {n_file} outputs, and that of the network "
            f"{n_network}; pass the right number in `arguments`."
        )

    for name in missing:
        shape = wanted[name].shape
        alike = [other for other in unexpected if fitted[other].shape == shape]
        near = difflib.get_close_matches(name, alike, 1, 0.3)
        if near:
            return f"Is {near[0]!r} of the file {name!r} of the network?"
    return "Is it the file of another network, or of other `arguments`?"


def _size(tensor: Tensor) -> str:
    return str(list(tensor.shape))


def _listed(names: Iterable[str], between: str = ", ") -> str:
    """Return the first names, and how many more there are."""
    every = list(names)
    n_more = len(every) - N_LISTED
    more = f" and {n_more} more" if n_more > 0 else ""
    return between.join(every[:N_LISTED]) + more

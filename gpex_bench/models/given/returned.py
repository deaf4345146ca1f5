"""The logits among what a network returns: a tensor, a tuple, a dictionary, an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from gpex_bench.models.given.errors import CannotWrap

LOGITS = "logits"  # the entry of an output that is taken where there are several


def logits(returned: Any, n_rows: int) -> Float[Tensor, "row head"]:
    """Return one row of outputs for each sample.

    Args:
        returned: what the network returned for `n_rows` samples.
        n_rows: how many samples.

    Raises:
        CannotWrap: there are several tensors, or something else than one row for each sample.
    """
    tensor = _tensor(returned)
    shape = tuple(tensor.shape)
    if n_rows == 1 and tensor.ndim <= 1:
        return tensor.reshape(1, -1)  # squeeze() took the axis of the samples, too
    if shape == (n_rows,):
        return tensor[:, None]

    has_rows = tensor.ndim >= 2 and shape[0] == n_rows
    is_flat = all(size == 1 for size in shape[2:])
    if has_rows and is_flat:
        return tensor.flatten(1)
    raise CannotWrap(
        f"The network must return one row of outputs for each sample, got the shape {list(shape)} "
        f"for {n_rows} samples; wrap it in a module that returns [sample, output], such as the "
        "mean over places."
    )


def _tensor(returned: Any) -> Tensor:
    """Return the tensor that holds the outputs."""
    if isinstance(returned, Tensor):
        return returned

    entries = _entries(returned)
    named = entries.get(LOGITS, getattr(returned, LOGITS, None))
    if isinstance(named, Tensor):
        return named
    tensors = [entry for entry in entries.values() if isinstance(entry, Tensor)]
    if len(entries) == 1 and tensors:
        return tensors[0]

    kind = type(returned).__name__
    listed = "; ".join(f"{name}: {_words(entry)}" for name, entry in entries.items())
    raise CannotWrap(
        f"The network returns a {kind} ({listed or 'nothing'}), and none of it is called logits. "
        "Set `head` to the name of the linear layer whose outputs are meant, or wrap the network "
        "in a module that returns one tensor [sample, output]."
    )


def _entries(returned: Any) -> dict[str, Any]:
    """Return what an output holds, by name or number; fields that are None are left out."""
    if isinstance(returned, Mapping):
        found = {str(name): entry for name, entry in returned.items()}
    elif isinstance(returned, (tuple, list)):
        names = getattr(returned, "_fields", range(len(returned)))
        found = {str(name): entry for name, entry in zip(names, returned, strict=True)}
    else:
        found = dict(getattr(returned, "__dict__", {}))
    return {name: entry for name, entry in found.items() if entry is not None}


def _words(entry: Any) -> str:
    """Return what an entry is, for a message."""
    if isinstance(entry, Tensor):
        return f"a tensor {list(entry.shape)}"
    return f"a {type(entry).__name__}"

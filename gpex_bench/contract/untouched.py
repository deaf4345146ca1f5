"""What a plug-in must leave as it found it, checked by checksums before and after a call."""

from __future__ import annotations

import random
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gpex_bench.types import Query, Task


class BrokenPromise(Exception):
    """A plug-in did what the contract forbids; the message names the promise, what came and what to do."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"broke the promise '{promise}': {what}")
        self.promise = promise


def require(kept: bool, promise: str, what: str) -> None:
    """Raise BrokenPromise unless the promise was kept."""
    if not kept:
        raise BrokenPromise(promise, what)


def _digest(tensor: Tensor) -> int:
    """Return a checksum; on 50 MB of data four times as fast as a cryptographic hash, and nobody cheats here."""
    return zlib.crc32(tensor.detach().cpu().reshape(-1).numpy().data)


def _random_states() -> dict[str, Any]:
    name, key, *rest = np.random.get_state()
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (name, np.asarray(key).tobytes(), *rest),
    }
    states["torch"] = _digest(torch.get_rng_state())
    if torch.cuda.is_initialized():
        states["torch.cuda"] = [_digest(state) for state in torch.cuda.get_rng_state_all()]
    return states


def _networks(task: Task) -> dict[str, nn.Module]:
    return {"model": task.model} | (
        {"surrogate": task.surrogate} if task.surrogate is not None else {}
    )


def _contents(task: Task, query: Query) -> dict[tuple[str, str], Any]:
    """Return what must not change, by (promise, name)."""
    found: dict[tuple[str, str], Any] = {}
    for name in ("x", "target", "sample"):
        tensor = getattr(query, name)
        found["inputs untouched", f"query.{name}"] = (_digest(tensor), tensor.requires_grad)
    for part in ("train", "test"):
        split = getattr(task.data, part)
        for name in ("x", "y", "sample"):
            found["data untouched", f"task.data.{part}.{name}"] = _digest(getattr(split, name))
    found["data untouched", "task.data.baseline"] = _digest(task.data.baseline)
    for owner, network in _networks(task).items():
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            found["weights untouched", f"{owner}.{name}"] = _digest(tensor)
        for name, weight in network.named_parameters():
            found["requires_grad untouched", f"{owner}.{name}"] = weight.requires_grad
            found["no gradients left behind", f"{owner}.{name}"] = (
                None if weight.grad is None else _digest(weight.grad)
            )
        for name, module in network.named_modules():
            where = f"{owner}.{name}" if name else owner
            found["train mode untouched", where] = module.training
            found["hooks removed", where] = sum(
                len(hooks)
                for key, hooks in vars(module).items()
                if key.endswith("_hooks") and hooks
            )
    return found


RANDOM = "global random state untouched"
ADVICE = {
    "inputs untouched": "work on query.x.clone()",
    "data untouched": "work on a clone",
    "weights untouched": "work on copy.deepcopy(task.model)",
    "requires_grad untouched": "set it back, or work on copy.deepcopy(task.model)",
    "no gradients left behind": "use torch.autograd.grad(output, x) instead of output.backward()",
    "train mode untouched": "leave the network in the mode it came in, or work on copy.deepcopy(task.model)",
    "hooks removed": "remove the handles in a finally block, or work on copy.deepcopy(task.model)",
    RANDOM: "draw from task.generator(sample), or seed a generator of your own with task.seeded(sample)",
}


@contextmanager
def untouched(task: Task, query: Query) -> Iterator[None]:
    """Raise BrokenPromise if the block changes the world; random states and train modes are put back in any case."""
    before, states, n_imported = _contents(task, query), _random_states(), len(sys.modules)
    python, numpy_state, torch_state = (
        random.getstate(),
        np.random.get_state(),
        torch.get_rng_state(),
    )
    modules = [module for network in _networks(task).values() for module in network.modules()]
    modes = [module.training for module in modules]
    try:
        yield
        after = _contents(task, query)
        for key in (*before, *after):
            if before.get(key) != after.get(key):
                raise BrokenPromise(key[0], f"{key[1]} has changed; {ADVICE[key[0]]}.")
        now = _random_states()
        if (
            len(sys.modules) > n_imported
        ):  # some libraries draw while they are imported; the next call shows
            states.pop("python")
        moved = [name for name, state in states.items() if now[name] != state]
        require(
            not moved, RANDOM, f"the generator of {', '.join(moved)} has moved; {ADVICE[RANDOM]}."
        )
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode

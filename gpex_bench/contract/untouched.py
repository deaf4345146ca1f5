"""What a plug-in must leave as it found it, checked by checksums before and after a call."""

from __future__ import annotations

import random
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gpex_bench.contract.promises import BrokenPromise, require
from gpex_bench.types import Query, Task


def _digest(tensor: Tensor) -> int:
    """Return a checksum.

    On 50 MB of data four times as fast as a cryptographic hash, which is not needed here.
    """
    return zlib.crc32(tensor.detach().cpu().reshape(-1).numpy().data)


def _random_states() -> dict[str, Any]:
    """Return the states of all global random generators by name, to be compared."""
    name, key, *rest = np.random.get_state()
    states: dict[str, Any] = {"python": random.getstate()}
    states["numpy"] = (name, np.asarray(key).tobytes(), *rest)
    states["torch"] = _digest(torch.get_rng_state())
    if torch.cuda.is_initialized():
        states["torch.cuda"] = [_digest(state) for state in torch.cuda.get_rng_state_all()]
    return states


def _networks(task: Task) -> dict[str, nn.Module]:
    """Return the networks of a task by name."""
    networks: dict[str, nn.Module] = {"model": task.model}
    if task.surrogate is not None:
        networks["surrogate"] = task.surrogate
    return networks


def _contents(task: Task, query: Query) -> dict[tuple[str, str], Any]:
    """Return what must not change, by (promise, name)."""
    contents: dict[tuple[str, str], Any] = {}
    for name in ("x", "target", "sample"):
        tensor = getattr(query, name)
        state = (_digest(tensor), tensor.requires_grad)
        contents["inputs untouched", f"query.{name}"] = state

    for part in ("train", "test"):
        split = getattr(task.data, part)
        for name in ("x", "y", "sample"):
            digest = _digest(getattr(split, name))
            contents["data untouched", f"task.data.{part}.{name}"] = digest
    contents["data untouched", "task.data.baseline"] = _digest(task.data.baseline)

    for owner, network in _networks(task).items():
        contents |= _of_network(owner, network)
    return contents


def _of_network(owner: str, network: nn.Module) -> dict[tuple[str, str], Any]:
    """Return what must not change of a network, by (promise, name)."""
    contents: dict[tuple[str, str], Any] = {}
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        contents["weights untouched", f"{owner}.{name}"] = _digest(tensor)

    for name, weight in network.named_parameters():
        gradient = None if weight.grad is None else _digest(weight.grad)
        contents["requires_grad untouched", f"{owner}.{name}"] = weight.requires_grad
        contents["no gradients left behind", f"{owner}.{name}"] = gradient

    for name, module in network.named_modules():
        where = f"{owner}.{name}" if name else owner
        hooks = [held for key, held in vars(module).items() if key.endswith("_hooks") and held]
        contents["train mode untouched", where] = module.training
        contents["hooks removed", where] = sum(map(len, hooks))
    return contents


RANDOM = "global random state untouched"
ADVICE = {
    "inputs untouched": "work on query.x.clone()",
    "data untouched": "work on a clone",
    "weights untouched": "work on copy.deepcopy(task.model)",
    "requires_grad untouched": "set it back, or work on copy.deepcopy(task.model)",
    "no gradients left behind": "use torch.autograd.grad(output, x) instead of output.backward()",
    "train mode untouched": "leave the network in its mode, or work on copy.deepcopy(task.model)",
    "hooks removed": "remove the handles in a finally block, or work on copy.deepcopy(task.model)",
    RANDOM: "draw from task.generator(sample), or seed your own generator with task.seeded(sample)",
}


@contextmanager
def random_states_kept(advice: str = ADVICE[RANDOM]) -> Iterator[None]:
    """Raise BrokenPromise, with this advice, if the block moves a global random state.

    The states are put back in any case.
    """
    states, n_imported = _random_states(), len(sys.modules)
    python, numpy_state = random.getstate(), np.random.get_state()
    torch_state = torch.get_rng_state()
    try:
        yield
        now = _random_states()
        if len(sys.modules) > n_imported:
            # Some libraries draw while they are imported; whether the plug-in does shows in the
            # next call.
            states.pop("python")
        moved = ", ".join(name for name, state in states.items() if now[name] != state)
        require(not moved, RANDOM, f"the generator of {moved} has moved; {advice}.")
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)


@contextmanager
def untouched(
    task: Task, query: Query, advice: Mapping[str, str] = MappingProxyType(ADVICE)
) -> Iterator[None]:
    """Raise BrokenPromise if the block changes the world.

    Random states and train modes are put back in any case.

    Args:
        task: what the block may read.
        query: the same.
        advice: by promise, what to do about it.
    """
    before = _contents(task, query)
    modes: dict[nn.Module, bool] = {}
    for network in _networks(task).values():
        modes |= {module: module.training for module in network.modules()}

    try:
        with random_states_kept(advice[RANDOM]):
            yield
            after = _contents(task, query)
            for promise, name in (*before, *after):
                if before.get((promise, name)) != after.get((promise, name)):
                    raise BrokenPromise(promise, f"{name} has changed; {advice[promise]}.")
    finally:
        for module, mode in modes.items():
            module.training = mode

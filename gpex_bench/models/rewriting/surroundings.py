"""A network that runs here is as it was before, afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn


def uncompiled() -> AbstractContextManager[Any]:
    """Run what torch.compile made as it was written."""
    if "torch._dynamo" not in sys.modules:  # its import takes a second, and nothing is compiled
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


@contextmanager
def without_row_counts(network: nn.Module) -> Iterator[None]:
    """Run without the hooks that count rows (`contract/cost.py`)."""
    hooks = network._forward_hooks
    counting = {key: hook for key, hook in hooks.items() if hasattr(hook, "counts_rows")}
    for key in counting:
        del hooks[key]
    try:
        yield
    finally:
        hooks.update(counting)


@contextmanager
def restored(network: nn.Module) -> Iterator[None]:
    """Give modules their attributes back: what they keep of a run would hold its whole graph."""
    before: list[tuple[Any, Any]] = []
    for module in network.modules():
        if not isinstance(module, torch.jit.ScriptModule):
            before.append((vars(module), dict(vars(module))))
            before.append((module._buffers, dict(module._buffers)))

    try:
        yield
    finally:
        for holder, items in before:
            holder.clear()
            holder.update(items)

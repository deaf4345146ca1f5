"""Counts what an explanation costs in the one currency that machines share: network rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class Rows:
    """Rows that went through a set of networks; a batch of 8 counts 8."""

    forward: int = 0
    backward: int = 0


@contextmanager
def counted(
    *networks: nn.Module | None, heard: Callable[[int], object] | None = None
) -> Iterator[Rows]:
    """Count the rows of the forward and backward passes through networks while the block runs.

    A backward pass counts when a gradient reaches the network's output. The hooks are gone
    afterwards.

    Args:
        networks: whose passes are counted; None counts nothing.
        heard: called with the rows of each forward pass, as a progress bar wants them.
    """
    rows = Rows()

    def on_gradient(gradient: Tensor) -> None:
        rows.backward += len(gradient)

    def on_forward(_module: nn.Module, _args: object, output: object) -> None:
        if isinstance(output, tuple):
            output = output[0]
        if isinstance(output, Tensor) and output.ndim:
            rows.forward += len(output)
            if heard is not None:
                heard(len(output))
            if output.requires_grad:
                output.register_hook(on_gradient)

    on_forward.counts_rows = True  # type: ignore[attr-defined]  # see models/rewriting

    handles = [
        network.register_forward_hook(on_forward) for network in networks if network is not None
    ]
    try:
        yield rows
    finally:
        for handle in handles:
            handle.remove()

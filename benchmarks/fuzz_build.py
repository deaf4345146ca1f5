"""Builds a description as people write networks.

As modules, functions, in place, shared, subclassed.
"""

from __future__ import annotations

from dataclasses import replace

from fuzz_ops import Description
from fuzz_steps import Step, linear, step
from torch import Tensor, nn

from gpex_bench.types import Model

COMPUTED = ("weight_norm", "parametrized", "own weight")


class Ops(nn.Module):
    """Some operations of a network, one after the other."""

    def __init__(self, description: Description, first: int, last: int) -> None:
        super().__init__()
        self.first = first
        self.steps: list[tuple[Step, tuple[int, ...]]] = []
        for number in range(max(first, 1), last):
            op = description.ops[number]
            self.steps.append((step(self, number, op), op.read_as))

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the last operation."""
        values = {max(self.first - 1, 0): x}
        for number, (one, sources) in enumerate(self.steps, start=max(self.first, 1)):
            values[number] = one(self, *[values[source] for source in sources])
        return values[max(values)]


class Images(Model):
    """A network on images: a trunk that gives maps, what follows, and the head."""

    def __init__(self, description: Description) -> None:
        super().__init__()
        n_trunk, n = description.n_trunk, len(description.ops)
        self.trunk = Ops(description, 0, n_trunk)
        self.neck = Ops(description, n_trunk, n - 1)
        self.head = linear(description.ops[-1])

    def embed(self, x: Tensor) -> Tensor:
        """Return what the head reads."""
        return self.neck(self.trunk(x))


class Flat(Model):
    """A network without maps."""

    def __init__(self, description: Description) -> None:
        super().__init__()
        self.body = Ops(description, 0, len(description.ops) - 1)
        self.head = linear(description.ops[-1])

    def embed(self, x: Tensor) -> Tensor:
        """Return what the head reads."""
        return self.body(x)


def build(description: Description) -> Model:
    """Return the network, in eval mode, as its styles say."""
    kind = Images if description.n_trunk else Flat
    return kind(description).eval().requires_grad_(False)


def plain(description: Description, keeps_weights: bool = False) -> Description:
    """Return the same network with everything a module of its own, or the plainest call.

    Args:
        description: the network.
        keeps_weights: weights that are computed from others stay so, with their rounding.
    """
    ops = []
    for op in description.ops:
        has_module = op.kind in ("linear", "conv", "act", "max_pool", "avg_pool")
        word = "module" if has_module or "norm" in op.kind else "function"
        if keeps_weights and op.style in COMPUTED:
            word = op.style
        ops.append(replace(op, style=word, shared=-1, read_as=op.sources))
    return replace(description, ops=tuple(ops), name=description.name + ", plain")


def without_changes_in_place(description: Description) -> Description:
    """Return the same network without operations in place."""
    ops = []
    for op in description.ops:
        style = "function" if op.style.startswith("in place") else op.style
        ops.append(replace(op, style=style, read_as=op.sources))
    return replace(description, ops=tuple(ops))

"""Gradients of a network's outputs by its parameters, projected to few numbers without ever being formed.

The gradient of an output by the weights of a layer is a sum of outer products delta a' over the
places where the layer is used (one for a linear layer): delta is the gradient by the layer's output
there, a the layer's input. A random direction of rank one, p q', turns it into sum (p . delta)(q .
a), at the cost of a filter. With independent p and q of zero mean and unit variance the mean over
directions of such products is <g, g'> without bias (sun2021tensor), so that inner products of the
embeddings approach the neural tangent kernel at the trained weights (jacot2018neural) as
1/sqrt(dim).

Each direction belongs to one layer, and layers get directions by their share of the kernel's trace:
as exact as if every direction ran through every layer, at a fraction of the cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gpex_bench.surrogates.gp.features import FeatureMap
from gpex_bench.types import Model
from gpex_bench.types.passes import RECORDED_ROWS

Entries = Literal["rademacher", "gaussian"]
LAYERS = (nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True)
class Projection:
    """How gradients are projected."""

    seed: int
    entries: Entries
    # one kernel, of the sum of the heads over the root of their number, or one kernel per head
    is_shared: bool


class Tangent(FeatureMap):
    """x -> projected gradients of each head, [batch, head, dim], or of the sum of the heads, [batch, 1, dim]."""

    counts: Tensor  # [layer], directions of each layer
    size: Tensor  # [group], root mean square norm on training samples: embeddings are divided by it
    seed: Tensor  # the directions are drawn again from it

    def __init__(self, network: Model, counts: Tensor, n_groups: int, how: Projection) -> None:
        """Take the number of directions of each layer of the network, in the order of `layers`."""
        super().__init__()
        self._held, self.how = (network,), how  # the network's weights stay out of the state_dict
        self.register_buffer("counts", counts)
        self.register_buffer("size", torch.ones(n_groups))
        self.register_buffer("seed", torch.tensor(how.seed))
        for number, (module, count) in enumerate(
            zip(layers(network), counts.tolist(), strict=True)
        ):
            seed = np.random.SeedSequence([how.seed, number]).generate_state(1).tolist()[0]
            for side, directions in zip(
                "pq", _directions(module, count, how.entries, seed), strict=True
            ):
                self.register_buffer(f"{side}{number}", directions, persistent=False)

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch group dim"]:
        """Return the projected gradients over `size`."""
        # Not `in_chunks`: gradients flow through.
        parts = [torch.cat(self.by_layer(part), -1) for part in x.split(RECORDED_ROWS)]
        return torch.cat(parts) / self.size[:, None]

    def by_layer(self, x: Float[Tensor, "batch *feature"]) -> list[Float[Tensor, "batch group _"]]:
        """Return the projected gradients of each layer, not scaled; zeros where outputs do not depend on it."""
        keep = torch.is_grad_enabled() and x.requires_grad
        network, modules = self._held[0], layers(self._held[0])
        with torch.enable_grad(), _recorded(modules) as calls:
            x = x if keep else x.detach().requires_grad_(True)
            y = network.explained(x)
            outputs = [output for _, _, output in calls]
            eye = torch.eye(y.shape[1], dtype=y.dtype, device=y.device)
            read = eye.mean(0, keepdim=True) * len(eye) ** 0.5 if self.how.is_shared else eye
            deltas = torch.autograd.grad(
                y,
                outputs,
                read[:, None].expand(-1, len(y), -1),
                is_grads_batched=True,
                create_graph=keep,
                allow_unused=True,
            )
        dims = self.counts.tolist()
        found = [
            torch.zeros(len(x), len(read), dim, dtype=y.dtype, device=y.device) for dim in dims
        ]
        with torch.set_grad_enabled(keep):
            for (number, a, _), delta in zip(calls, deltas, strict=True):
                if delta is not None and dims[number]:
                    p, q = getattr(self, f"p{number}"), getattr(self, f"q{number}")
                    found[number] = (
                        found[number]
                        + _projected(modules[number], a, delta, p, q) / dims[number] ** 0.5
                    )
        return found


def layers(network: Model) -> list[nn.Module]:
    """Return the layers with parameters.

    Raises:
        ValueError: a parameter belongs to a layer whose gradients we cannot project.
    """
    found: list[nn.Module] = []
    for name, module in network.named_modules():
        if not [*module.parameters(recurse=False)]:
            continue
        if not isinstance(module, LAYERS) or (
            isinstance(module, nn.Conv2d) and _is_unusual(module)
        ):
            known = ", ".join(kind.__name__ for kind in LAYERS)
            raise ValueError(
                f"ntk can project gradients of {known} (one group, zero padding), got {name}: {module}."
            )
        found.append(module)
    return found


def _is_unusual(module: nn.Conv2d) -> bool:
    """Return whether a convolution is one that `_projected` does not know."""
    return module.groups != 1 or module.padding_mode != "zeros"


@contextmanager
def _recorded(modules: list[nn.Module]) -> Iterator[list[tuple[int, Tensor, Tensor]]]:
    """Record the layer's number, input and output at every use of a layer."""
    calls: list[tuple[int, Tensor, Tensor]] = []

    def hook(number: int):  # type: ignore[no-untyped-def] # a hook
        return lambda _module, args, output: calls.append((number, args[0], output))

    handles = [module.register_forward_hook(hook(number)) for number, module in enumerate(modules)]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _directions(
    module: nn.Module, count: int, entries: Entries, seed: int
) -> tuple[Tensor, Tensor]:
    """Return random p [count, n_out] and q [count, n_in (+ 1 for a bias)]; of a batch norm those of shift and gain."""
    generator = torch.Generator().manual_seed(seed)
    weight: Tensor = module.weight  # type: ignore[assignment] # one of LAYERS
    n_out, n_in = len(weight), weight[0].numel()
    wide = (
        n_out
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
        else n_in + (module.bias is not None)
    )
    drawn = torch.randn(count, n_out + wide, generator=generator)
    if entries == "rademacher":
        drawn = torch.where(drawn < 0, -1.0, 1.0)
    return drawn[:, :n_out], drawn[:, n_out:]


def _projected(
    module: nn.Module, a: Tensor, delta: Float[Tensor, "group batch *out"], p: Tensor, q: Tensor
) -> Float[Tensor, "batch group dim"]:
    """Return the projection of the gradient by one layer's parameters."""
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        shape = (-1, *[1] * (a.ndim - 2))
        mean, variance = module.running_mean, module.running_var
        z = (a - mean.view(shape)) * (variance.view(shape) + module.eps).rsqrt()  # type: ignore[union-attr] # eval mode
        shift, gain = (
            part.flatten(3).sum(-1) if part.ndim > 3 else part for part in (delta, delta * z)
        )
        return (shift @ p.T + gain @ q.T).transpose(0, 1)
    if isinstance(module, nn.Conv2d):
        n_in = module.weight[0].numel()
        bias = q[:, n_in] if module.bias is not None else None
        filters = q[:, :n_in].unflatten(1, module.weight.shape[1:])
        seen = nn.functional.conv2d(
            a, filters, bias, module.stride, module.padding, module.dilation
        ).flatten(2)
        return torch.einsum("gbod,do->bgd", delta.flatten(3) @ seen.mT, p)
    if module.bias is not None:
        a = torch.cat([a, torch.ones_like(a[..., :1])], -1)
    a, delta = (
        a.reshape(len(a), -1, a.shape[-1]),
        delta.reshape(*delta.shape[:2], -1, delta.shape[-1]),
    )
    return ((delta @ p.T) * (a @ q.T)).sum(2).transpose(0, 1)

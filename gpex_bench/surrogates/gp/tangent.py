"""Gradients of a network's outputs by its parameters, projected to few numbers.

The gradients themselves are never formed.

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
from gpex_bench.types.batches import RECORDED_ROWS

Entries = Literal["rademacher", "gaussian"]
LAYERS = (nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True)
class Projection:
    """How gradients are projected."""

    seed: int
    entries: Entries  # of the random directions
    # one kernel, of the sum of the heads over the root of their number, or one kernel per head
    is_shared: bool


class Tangent(FeatureMap):
    """x -> projected gradients of each head, or of the sum of the heads as one group."""

    counts: Tensor  # [layer], directions of each layer
    size: Tensor  # [group], root mean square norm on training samples: embeddings are divided by it
    seed: Tensor  # the directions are drawn again from it

    def __init__(self, network: Model, counts: Tensor, n_groups: int, how: Projection) -> None:
        """Take the number of directions of each layer of the network, in the order of `layers`."""
        super().__init__()
        # a tuple hides the network from nn.Module: its weights stay out of the state_dict
        self._held = (network,)
        self.how = how
        self.register_buffer("counts", counts)
        self.register_buffer("size", torch.ones(n_groups))
        self.register_buffer("seed", torch.tensor(how.seed))
        for number, module in enumerate(layers(network)):
            seed = np.random.SeedSequence([how.seed, number]).generate_state(1).tolist()[0]
            p, q = _directions(module, int(counts[number]), how.entries, seed)
            self.register_buffer(f"p{number}", p, persistent=False)
            self.register_buffer(f"q{number}", q, persistent=False)

    def forward(self, x: Float[Tensor, "batch *feature"]) -> Float[Tensor, "batch group dim"]:
        """Return the projected gradients over `size`."""
        # Not `in_chunks`: gradients flow through.
        parts = [torch.cat(self.by_layer(part), -1) for part in x.split(RECORDED_ROWS)]
        return torch.cat(parts) / self.size[:, None]

    def by_layer(self, x: Float[Tensor, "batch *feature"]) -> list[Float[Tensor, "batch group _"]]:
        """Return the projected gradients of each layer, not scaled.

        They are zero where the outputs do not depend on a layer.
        """
        is_kept = torch.is_grad_enabled() and x.requires_grad
        network = self._held[0]
        modules = layers(network)
        with torch.enable_grad(), _recorded(modules) as calls:
            x = x if is_kept else x.detach().requires_grad_(True)
            y = network.explained(x)
            outputs = [output for _, _, output in calls]
            read = self._read(y)
            deltas = torch.autograd.grad(
                y,
                outputs,
                read[:, None].expand(-1, len(y), -1),
                is_grads_batched=True,
                create_graph=is_kept,
                allow_unused=True,
            )

        dims = self.counts.tolist()
        total = [
            torch.zeros(len(x), len(read), dim, dtype=y.dtype, device=y.device) for dim in dims
        ]
        with torch.set_grad_enabled(is_kept):
            for (number, a, _), delta in zip(calls, deltas, strict=True):
                if delta is None or not dims[number]:
                    continue
                p = getattr(self, f"p{number}")
                q = getattr(self, f"q{number}")
                term = _projected(modules[number], a, delta, p, q)
                total[number] = total[number] + term / dims[number] ** 0.5
        return total

    def _read(self, y: Float[Tensor, "batch head"]) -> Float[Tensor, "group head"]:
        """Return the combinations of heads whose gradients are taken: each head, or their sum.

        The sum is divided by the root of the number of heads.
        """
        eye = torch.eye(y.shape[1], dtype=y.dtype, device=y.device)
        if self.how.is_shared:
            return eye.mean(0, keepdim=True) * len(eye) ** 0.5
        return eye


def layers(network: Model) -> list[nn.Module]:
    """Return the layers with parameters.

    Raises:
        ValueError: a parameter belongs to a layer whose gradients we cannot project.
    """
    found: list[nn.Module] = []
    for name, module in network.named_modules():
        if not [*module.parameters(recurse=False)]:
            continue
        if not _is_known(module):
            known = ", ".join(kind.__name__ for kind in LAYERS)
            raise ValueError(
                f"ntk can project gradients of {known} (one group, zero padding), "
                f"got {name}: {module}."
            )
        found.append(module)
    return found


def _is_known(module: nn.Module) -> bool:
    """Return whether `_projected` knows a layer."""
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and module.padding_mode == "zeros"
    return isinstance(module, LAYERS)


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
    """Return random p [count, n_out] and q [count, n_in (+ 1 for a bias)].

    Of a batch norm p is for the shifts and q for the gains.
    """
    generator = torch.Generator().manual_seed(seed)
    weight: Tensor = module.weight  # type: ignore[assignment] # one of LAYERS
    n_out = len(weight)
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        width = n_out
    else:
        width = weight[0].numel() + (module.bias is not None)

    entries_drawn = torch.randn(count, n_out + width, generator=generator)
    if entries == "rademacher":
        entries_drawn = torch.where(entries_drawn < 0, -1.0, 1.0)
    return entries_drawn[:, :n_out], entries_drawn[:, n_out:]


def _projected(
    module: nn.Module, a: Tensor, delta: Float[Tensor, "group batch *out"], p: Tensor, q: Tensor
) -> Float[Tensor, "batch group dim"]:
    """Return the projection of the gradient by one layer's parameters.

    Args:
        module: the layer.
        a: its input.
        delta: the gradient by its output.
        p: random directions of the outputs.
        q: random directions of the inputs.
    """
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        return _projected_norm(module, a, delta, p, q)
    if isinstance(module, nn.Conv2d):
        return _projected_convolution(module, a, delta, p, q)

    if module.bias is not None:
        a = torch.cat([a, torch.ones_like(a[..., :1])], -1)
    # a linear layer may be used at several places: [batch, place, n_in]
    a = a.reshape(len(a), -1, a.shape[-1])
    delta = delta.reshape(*delta.shape[:2], -1, delta.shape[-1])
    return ((delta @ p.T) * (a @ q.T)).sum(2).transpose(0, 1)


def _projected_norm(
    module: nn.BatchNorm1d | nn.BatchNorm2d, a: Tensor, delta: Tensor, p: Tensor, q: Tensor
) -> Tensor:
    """Return `_projected` of a batch norm in eval mode."""
    shape = (-1, *[1] * (a.ndim - 2))
    mean = module.running_mean.view(shape)  # type: ignore[union-attr] # eval mode
    variance = module.running_var.view(shape)  # type: ignore[union-attr]
    z = (a - mean) * (variance + module.eps).rsqrt()

    shift = delta
    gain = delta * z
    if delta.ndim > 3:
        shift = shift.flatten(3).sum(-1)
        gain = gain.flatten(3).sum(-1)
    return (shift @ p.T + gain @ q.T).transpose(0, 1)


def _projected_convolution(
    module: nn.Conv2d, a: Tensor, delta: Tensor, p: Tensor, q: Tensor
) -> Tensor:
    """Return `_projected` of a convolution: q are filters, applied as the layer is."""
    n_in = module.weight[0].numel()
    filters = q[:, :n_in].unflatten(1, module.weight.shape[1:])
    bias = q[:, n_in] if module.bias is not None else None
    response = nn.functional.conv2d(
        a, filters, bias, module.stride, module.padding, module.dilation
    )
    by_output = delta.flatten(3) @ response.flatten(2).mT
    return torch.einsum("gbod,do->bgd", by_output, p)

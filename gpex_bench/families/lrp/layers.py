"""A layer as the rules of relevance propagation see it, and their arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

# The items of these lists have no type: the runtime checker of the tests would draw random numbers
# to pick one of them.
Terms = list[Any]  # of (input, weight or None)
Leaves = list[Any]  # of tensors

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
POOLS = (
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
N_SPATIAL = {nn.BatchNorm1d: 0, nn.BatchNorm2d: 2, nn.BatchNorm3d: 3}  # axes after the channels
TINY = 1e-7  # of a sample's largest sum of contributions: less is rounding


class Layer:
    """A layer of a network with its rule; without a rule, relevance passes unchanged."""

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name = name
        self.module = module
        self.weight: Tensor | None = None
        self.bias: Tensor | float = 0.0
        # scale and shift of a batch norm before this layer that is folded into it
        self.before: tuple[Tensor, Tensor] | None = None
        self.rule: Callable[[Layer, Tensor, Tensor, Tensor], Tensor] | None = None  # a LayerRule
        self.is_folded = False  # a batch norm that is folded into another layer

        if isinstance(module, NORMS):
            self.weight, self.bias = affine(name, module)
        elif isinstance(module, WEIGHTED):
            self.weight = module.weight.detach()
            if module.bias is not None:
                self.bias = module.bias.detach().view(-1, *[1] * (self.weight.ndim - 2))

    @property
    def stacks(self) -> bool:
        """Whether two sets of weights, stacked, give two sets of outputs in one call."""
        return isinstance(self.module, WEIGHTED) and getattr(self.module, "groups", 1) == 1

    def __call__(self, a: Tensor, weight: Tensor | None) -> Tensor:
        """Return the layer's output for other weights and without its bias."""
        if weight is None:
            return self.module(a)
        if isinstance(self.module, NORMS):
            return a * weight
        return functional_call(self.module, {"weight": weight}, (a,))

    def back(self, a: Tensor, relevance: Tensor) -> Tensor:
        """Return the relevance of the layer's input `a`, from that of its output."""
        if self.rule is None:
            return relevance
        if self.before is None:
            return self.rule(self, a, relevance, a.new_zeros(()))

        # the shift of the batch norm before the layer acts as a bias
        _, shift = self.before
        constant = self(shift.expand_as(a[:1]), self.weight)
        return self.rule(self, a - shift, relevance, constant)

    def sums(self, terms: Terms) -> tuple[Leaves, Tensor]:
        """Return the inputs of the terms, as leaves of a graph, and the sum of their outputs."""
        with torch.enable_grad():
            leaves = [a.detach().requires_grad_() for a, _ in terms]
            outputs = [self(leaf, weight) for leaf, (_, weight) in zip(leaves, terms, strict=True)]
            total = torch.stack(outputs).sum(0) if len(outputs) > 1 else outputs[0]
        return leaves, total

    def evenly(self, a: Tensor, relevance: Tensor) -> Tensor:
        """Return relevance that is spread evenly over the inputs of each unit."""
        ones = None if self.weight is None else torch.ones_like(self.weight)
        leaves, total = self.sums([(torch.ones_like(a), ones)])
        n_inputs = total.detach()
        return redistribute(leaves, total, quotient(relevance, n_inputs, n_inputs != 0))


# --- arithmetic ---------------------------------------------------------------------------------


def affine(name: str, norm: Any) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a batch norm, shaped to broadcast.

    Raises:
        ValueError: it has no running statistics.
    """
    if norm.training or norm.running_var is None:
        raise ValueError(
            f"The batch norm {name!r} normalises by the batch; call eval() and keep running "
            "statistics."
        )
    weight = 1 if norm.weight is None else norm.weight.detach()
    bias = 0 if norm.bias is None else norm.bias.detach()
    scale = (norm.running_var + norm.eps).rsqrt() * weight
    shift = bias - norm.running_mean * scale
    shape = (-1, *[1] * N_SPATIAL[type(norm)])
    return scale.view(shape), shift.view(shape)


def redistribute(leaves: Leaves, total: Tensor, factor: Tensor) -> Tensor:
    """Return for each input the sum of its contributions to `total`, times their unit's factor."""
    gradients = torch.autograd.grad(total, leaves, factor)
    parts = [leaf.detach() * gradient for leaf, gradient in zip(leaves, gradients, strict=True)]
    return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def quotient(numerator: Tensor, denominator: Tensor, where: Tensor) -> Tensor:
    """Return a quotient, and 0 where the condition does not hold."""
    return torch.where(where, numerator / denominator, 0.0)


def negligible(size: Tensor) -> Tensor:
    """Return the largest size that counts as 0, sample by sample, shaped to broadcast."""
    largest = size.flatten(1).amax(1)
    least = TINY * largest + torch.finfo(size.dtype).tiny
    return least.view(-1, *[1] * (size.ndim - 1))


def step(x: Tensor) -> Tensor:
    """Return 1.0 where x is positive and 0.0 elsewhere, much faster on the CPU than torch.where."""
    return x.clamp(min=0).sign_()

"""Linear maps as the rules of relevance propagation see them, and the arithmetic of the rules.

A layer is called with weights of the rule's choice (their positive part, their squares) and without
its bias. Norms by the sample's own statistics and softmax are linear maps too, once the statistics
or the shares are taken as constants; so is a matrix product, once one factor is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gpex_bench.types.demands import Refused

# The items of these lists have no type: the runtime checker of the tests would draw random numbers
# to pick one of them.
Terms = list[Any]  # of (input, weight or None)
Leaves = list[Any]  # of tensors

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = {
    nn.ConvTranspose1d: functional.conv_transpose1d,
    nn.ConvTranspose2d: functional.conv_transpose2d,
    nn.ConvTranspose3d: functional.conv_transpose3d,
}
WEIGHTED = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
TINY = 1e-7  # of a sample's largest sum of contributions: less is rounding


class Layer:
    """A layer with its rule; without a rule, relevance passes unchanged.

    This one multiplies each input by its weight and adds a bias.
    """

    stacks = False  # whether two sets of weights, stacked, give two sets of outputs in one call

    def __init__(
        self, place: str, weight: Tensor | None = None, bias: Tensor | float = 0.0
    ) -> None:
        self.place = place
        self.weight = weight
        self.bias = bias
        self.rows = 0  # the axis of the output along which the samples are
        self.rule: Callable[[Layer, Tensor, Tensor, Tensor], Tensor] | None = None  # a LayerRule
        # the layer's input where the last layer before it is 0: what constants in between add up to
        self.origin: Tensor | None = None
        self.bounds: tuple[Tensor, Tensor] | None = None  # of the layer's input, for the box rule
        self.support: Tensor | None = None  # 1 where the input is a signal, 0 where it is padding

    def __call__(self, a: Tensor, weight: Tensor | None) -> Tensor:
        """Return the layer's output for other weights and without its bias."""
        return a if weight is None else a * weight

    def back(self, a: Tensor, relevance: Tensor) -> Tensor:
        """Return the relevance of the layer's input `a`, from that of its output."""
        if self.rule is None:
            return relevance
        if self.origin is None:
            return self.rule(self, a, relevance, a.new_zeros(()))

        # the constant part of the input acts as a bias
        constant = self(_one_row(self.origin), self.weight)
        return self.rule(self, a - self.origin, relevance, constant)

    def sums(self, terms: Terms) -> tuple[Leaves, Tensor]:
        """Return the inputs of the terms, as leaves of a graph, and the sum of their outputs."""
        with torch.enable_grad():
            leaves = [a.detach().requires_grad_() for a, _ in terms]
            outputs = [self(leaf, weight) for leaf, (_, weight) in zip(leaves, terms, strict=True)]
            total = torch.stack(outputs).sum(0) if len(outputs) > 1 else outputs[0]
        return leaves, total

    def evenly(self, a: Tensor, relevance: Tensor) -> Tensor:
        """Return relevance that is spread evenly over the inputs of each unit.

        Padding is no input, but for units that see nothing else.
        """
        ones = None if self.weight is None else torch.ones_like(self.weight)
        leaves, total = self.sums([(self.present(a), ones)])
        n_inputs = total.detach()
        has_inputs = n_inputs != 0
        factor = quotient(relevance, n_inputs, has_inputs)
        spread = redistribute(leaves, total, factor)
        if self.support is None or bool(has_inputs.all()):
            return spread

        # units that see padding alone
        leaves, total = self.sums([(torch.ones_like(a), ones)])
        rest = torch.where(has_inputs, 0.0, relevance)
        factor = rest / total.detach()
        return spread + redistribute(leaves, total, factor)

    def present(self, a: Tensor) -> Tensor:
        """Return 1 for each entry of an input, and 0 for padding and joined constants."""
        return torch.ones_like(a) if self.support is None else self.support

    def mean_square(self, total: Tensor) -> Tensor:
        """Return the mean square of a sample's outputs, shaped to broadcast."""
        return total.square().mean(self._axes(total), keepdim=True)

    def negligible(self, size: Tensor) -> Tensor:
        """Return the largest size that counts as 0, sample by sample, shaped to broadcast."""
        largest = size.amax(self._axes(size), keepdim=True)
        return TINY * largest + torch.finfo(size.dtype).tiny

    def _axes(self, output: Tensor) -> tuple[int, ...]:
        """Return the axes of an output along which the values of one sample are."""
        return tuple(axis for axis in range(output.ndim) if axis != self.rows)


class Weighted(Layer):
    """A linear layer or a convolution, transposed ones among them."""

    def __init__(self, place: str, module: Any) -> None:
        weight = module.weight.detach()
        super().__init__(place, weight)
        if module.bias is not None:
            places = [1] * (weight.ndim - 2)
            self.bias = module.bias.detach().view(-1, *places)

        self.module = module
        self.is_transposed = isinstance(module, tuple(TRANSPOSED))
        self.stacks = not self.is_transposed and getattr(module, "groups", 1) == 1

    weight: Tensor

    def __call__(self, a: Tensor, weight: Any) -> Tensor:
        """Return the output without the bias."""
        module = self.module
        if isinstance(module, nn.Linear):
            return functional.linear(a, weight)
        if not self.is_transposed:
            return module._conv_forward(a, weight, None)

        function = next(f for kind, f in TRANSPOSED.items() if isinstance(module, kind))
        settings = module.stride, module.padding, module.output_padding, module.groups
        return function(a, weight, None, *settings, module.dilation)

    def multiply(self, scale: Tensor) -> None:
        """Multiply each channel of the output by its factor."""
        places = [1] * (self.weight.ndim - 2)
        self.bias = self.bias * scale.view(-1, *places)
        factor = scale[:, None]
        if self.is_transposed:  # [input, output of its group]
            of_groups = scale.expand(self.module.out_channels).view(self.module.groups, -1)
            n_inputs = self.module.in_channels // self.module.groups
            factor = of_groups.repeat_interleave(n_inputs, 0)
        self.weight = self.weight * factor.view(*factor.shape, *places)


class Sharing(Layer):
    """A sum or a mean: all weights are positive and none can be chosen."""

    def __init__(self, place: str, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__(place)
        self.function = function

    def __call__(self, a: Tensor, weight: Tensor | None) -> Tensor:
        """Return the sum."""
        return self.function(a)


class Centred(Layer):
    """Inputs minus their weighted mean, times a gain, plus a bias.

    That is a norm by the sample's own statistics (the mean is plain, the gain is the learned
    weight over the standard deviation), and the tangent of softmax (the shares weight the mean,
    and are the gain).
    """

    def __init__(
        self, place: str, gain: Tensor, share: Tensor, total: Callable[[Tensor], Tensor]
    ) -> None:
        """Take what belongs to each input.

        Args:
            place: for messages.
            gain: of its output.
            share: its weight in the mean; non-negative.
            total: returns for each input the sum over those that share its mean.
        """
        own = gain * (1 - share)
        super().__init__(place, torch.stack([own, -gain]))
        self.share = share
        self.total = total

    def __call__(self, a: Tensor, weight: Tensor | None) -> Tensor:
        """Return what an input gives to its own output plus what the others give."""
        own, others = self.weight if weight is None else weight  # type: ignore[misc]
        shares = self.share * a
        return own * a + others * (self.total(shares) - shares)

    def evenly(self, a: Tensor, relevance: Tensor) -> Tensor:
        """Return the relevance where it is: each output has an input of its own."""
        return relevance


class Factor(Layer):
    """A factor of a matrix product; the other one is its weight."""

    def __init__(self, place: str, other: Tensor, is_left: bool, equation: str = "") -> None:
        """Take the other factor, whether this one is the left one, and einsum's equation if any."""
        super().__init__(place, other)
        self.is_left = is_left
        self.equation = equation

    def __call__(self, a: Tensor, weight: Tensor | None) -> Tensor:
        """Return the product."""
        factors = (a, weight) if self.is_left else (weight, a)
        return torch.einsum(self.equation, *factors) if self.equation else torch.matmul(*factors)


# --- arithmetic ---------------------------------------------------------------------------------


def affine(place: str, norm: Any, n_axes: int) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a batch norm, shaped to broadcast over inputs of `n_axes` axes.

    Raises:
        Refused: it has no running statistics.
    """
    if norm.training or norm.running_var is None:
        raise Refused(
            f"The batch norm {place!r} normalises by the batch; call eval() and keep running "
            "statistics."
        )
    weight = 1 if norm.weight is None else norm.weight.detach()
    bias = 0 if norm.bias is None else norm.bias.detach()
    scale = (norm.running_var + norm.eps).rsqrt() * weight
    shift = bias - norm.running_mean * scale
    shape = (-1, *[1] * (n_axes - 2))
    return scale.view(shape), shift.view(shape)


def redistribute(leaves: Leaves, total: Tensor, factor: Tensor) -> Tensor:
    """Return for each input the sum of its contributions to `total`, times their unit's factor."""
    gradients = torch.autograd.grad(total, leaves, factor)
    parts = [leaf.detach() * gradient for leaf, gradient in zip(leaves, gradients, strict=True)]
    return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def quotient(numerator: Tensor, denominator: Tensor, where: Tensor) -> Tensor:
    """Return a quotient, and 0 where the condition does not hold."""
    return torch.where(where, numerator / denominator, 0.0)


def step(x: Tensor) -> Tensor:
    """Return 1.0 where x is positive and 0.0 elsewhere, much faster on the CPU than torch.where."""
    return x.clamp(min=0).sign_()


def _one_row(x: Tensor) -> Tensor:
    """Return the first row where all are equal, else all of them."""
    first = x[:1]
    return first if bool((x == first).all()) else x

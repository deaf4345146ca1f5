"""Linear operations of networks too large for dense matrices: contributions by clamped weights.

A positive contribution is of a positive input and weight, or of a negative input and weight. The
tests compare these units with the dense ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from fuzz_ops import Op, apply
from fuzz_relevance import Folded
from fuzz_rules import NEGLIGIBLE, Unit, Unknown, largest, quotient
from torch import Tensor

WEIGHTED = ("linear", "conv")
Terms = Sequence[tuple[Tensor, Tensor]]  # (input, weight)


class Wide(Unit):
    """A convolution, a linear layer, a batch norm or an average, with what is folded into it."""

    def __init__(self, folded: Folded, a: Tensor) -> None:
        op = folded.op
        self.op, self.a = op, a
        self.bias = folded.shift
        self.is_weighted = op.kind in WEIGHTED
        self.weight = torch.ones((), dtype=a.dtype)
        if self.is_weighted:
            self.weight = self._scaled(op.weights["weight"].to(a.dtype), folded.scale)
        elif op.kind == "batch_norm":
            zero = torch.zeros_like(a[:1])
            self.weight = apply(op, [zero + 1]) - apply(op, [zero])
        self.low, self.high = a.clamp(max=0), a.clamp(min=0)
        self.plus, self.minus = self.weight.clamp(min=0), self.weight.clamp(max=0)

    def _scaled(self, weight: Tensor, scale: Tensor) -> Tensor:
        """Multiply the weights by the scale of their output."""
        channel = scale.ndim - 1 if self.op.kind == "linear" else 1
        of_channels = scale.movedim(channel, 0).flatten(1)[:, 0]
        return weight * of_channels.view(-1, *[1] * (weight.ndim - 1))

    def _output(self, a: Tensor, weight: Tensor) -> Tensor:
        if self.is_weighted:
            op = replace(self.op, weights={"weight": weight})
            return apply(op, [a])
        if self.op.kind == "batch_norm":
            return a * weight
        if self.op.kind == "shift":
            return a * 1.0
        return apply(self.op, [a]) if bool(weight > 0) else torch.zeros_like(apply(self.op, [a]))

    def _sum(self, terms: Terms) -> Tensor:
        return torch.stack([self._output(a, weight) for a, weight in terms]).sum(0)

    def _back(self, terms: Terms, factor: Tensor) -> Tensor:
        """Return for each input its contributions times the factor of the output."""
        leaves = [a.detach().clone().requires_grad_() for a, _ in terms]
        with torch.enable_grad():
            outputs = [
                self._output(a, weight) for a, (_, weight) in zip(leaves, terms, strict=True)
            ]
            total = torch.stack(outputs).sum(0)
        gradients = torch.autograd.grad(total, leaves, factor, allow_unused=True)
        parts = [
            leaf.detach() * gradient
            for leaf, gradient in zip(leaves, gradients, strict=True)
            if gradient is not None
        ]
        return torch.stack(parts).sum(0)

    @property
    def _positive(self) -> Terms:
        return [(self.high, self.plus), (self.low, self.minus)]

    @property
    def _negative(self) -> Terms:
        return [(self.high, self.minus), (self.low, self.plus)]

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return the sums of the contributions by sign."""
        return self._sum(self._positive), self._sum(self._negative)

    def share(self, up: Tensor, down: Tensor) -> Tensor:
        """Return the contributions times the factors."""
        if bool((up == down).all()):
            return self._back([(self.a, self.weight)], up)
        return self._back(self._positive, up) + self._back(self._negative, down)

    def total(self) -> Tensor:
        """Return the output without the bias."""
        return self._output(self.a, self.weight)

    def evenly(self, relevance: Tensor) -> Tensor:
        """Return relevance spread over what is connected."""
        if not bool(relevance.any()):
            return torch.zeros_like(self.a)
        terms = [(torch.ones_like(self.a), torch.ones_like(self.weight))]
        count = self._sum(terms)
        return self._back(terms, quotient(relevance, count, count > 0))

    def squares(self, relevance: Tensor) -> Tensor:
        """Return relevance in proportion to squared weights."""
        return self._by([(torch.ones_like(self.a), self.weight.square())], relevance)

    def in_box(self, relevance: Tensor) -> Tensor:
        """Return relevance by contributions a w - low w+ - high w-."""
        floor = torch.minimum(self.ends[0], self.a)
        ceiling = torch.maximum(self.ends[1], self.a)
        terms = [(self.a, self.weight), (floor, -self.plus), (ceiling, -self.minus)]
        return self._by(terms, relevance)

    def _by(self, terms: Terms, relevance: Tensor) -> Tensor:
        size = self._sum(terms)
        remains = size > NEGLIGIBLE * largest(size)
        rest = self.evenly(torch.where(remains, 0.0, relevance))
        return self._back(terms, quotient(relevance, size, remains)) + rest


class WideCentred(Unit):
    """A norm by the sample's own statistics: `gain * (a - mean of a)`, plus a bias."""

    def __init__(self, op: Op, a: Tensor) -> None:
        self.a = a
        self.a_plus, self.a_minus = a.clamp(min=0), a.clamp(max=0)
        self.axes: tuple[int, ...] = (-1,)
        if op.kind == "layer_norm":
            self.axes = tuple(range(-op.weights["weight"].ndim, 0))
            self.grouped = a.shape
            of_channels = op.weights["weight"].shape
        else:
            n_groups = op.settings.get("groups", a.shape[1])
            self.grouped = a.reshape(len(a), n_groups, -1).shape
            of_channels = torch.Size([-1, *[1] * (a.ndim - 2)])

        variance = self._mean(a.square()) - self._mean(a).square()
        gain = (variance + op.settings.get("eps", 1e-5)).rsqrt()
        gain = gain * op.weights["weight"].to(a.dtype).view(of_channels)
        self.gain = gain
        self.plus, self.minus = gain.clamp(min=0), gain.clamp(max=0)
        self.bias = op.weights["bias"].to(a.dtype).view(of_channels)
        self.n = a.numel() // self._reduced(a).numel()

    def _reduced(self, values: Tensor) -> Tensor:
        return values.reshape(self.grouped).mean(self.axes, keepdim=True)

    def _mean(self, values: Tensor) -> Tensor:
        """Return at each entry the mean over its group."""
        return self._reduced(values).expand(self.grouped).reshape(self.a.shape)

    def _others(self, values: Tensor) -> Tensor:
        """Return at each entry the sum over the others of its group, divided by their number."""
        return self._mean(values) - values / self.n

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return the sums by sign: an entry gives itself 1 - 1/n, and each other one -1/n."""
        own = 1 - 1 / self.n
        others_plus, others_minus = self._others(self.a_plus), self._others(self.a_minus)
        positive = own * (self.plus * self.a_plus + self.minus * self.a_minus)
        positive = positive - self.plus * others_minus - self.minus * others_plus
        negative = own * (self.plus * self.a_minus + self.minus * self.a_plus)
        negative = negative - self.plus * others_plus - self.minus * others_minus
        return positive, negative

    def share(self, up: Tensor, down: Tensor) -> Tensor:
        """Return the contributions times the factors."""
        own = 1 - 1 / self.n
        same_sign = self.plus * up + self.minus * down
        other_sign = self.minus * up + self.plus * down
        of_plus = own * same_sign - self._others(other_sign)
        of_minus = own * other_sign - self._others(same_sign)
        return self.a_plus * of_plus + self.a_minus * of_minus

    def evenly(self, relevance: Tensor) -> Tensor:
        """Return the relevance where it is."""
        return relevance

    def squares(self, relevance: Tensor) -> Tensor:
        """No norm is a first layer."""
        raise Unknown("squared weights of a norm")

    def in_box(self, relevance: Tensor) -> Tensor:
        """No norm is a first layer."""
        raise Unknown("the box rule of a norm")


def wide(folded: Folded, a: Tensor) -> Unit:
    """Return an operation as a unit."""
    if "norm" in folded.op.kind and folded.op.kind != "batch_norm":
        return WideCentred(folded.op, a)
    return Wide(folded, a)

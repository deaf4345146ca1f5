"""Linear operations as dense matrices: each contribution of an input to an output is a number."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from fuzz_ops import Op, apply
from fuzz_rules import NEGLIGIBLE, Unit, Unknown, largest, quotient
from torch import Tensor


class Dense(Unit):
    """`a @ matrix + bias`, with a matrix for all samples or one for each."""

    def __init__(
        self,
        a: Tensor,
        matrix: Tensor,
        bias: Tensor,
        is_connected: Tensor,
    ) -> None:
        """Take an operation.

        Args:
            a: inputs [batch, *input].
            matrix: [batch or 1, input, output].
            bias: broadcasts over [batch, *output].
            is_connected: bool [input, output].
        """
        self.a = a.flatten(1)
        self.matrix = matrix
        self.bias = bias
        self.is_connected = is_connected
        parts = self.a[:, :, None] * matrix
        self.plus, self.minus = parts.clamp(min=0), parts.clamp(max=0)

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return the sums of the contributions by sign."""
        return self.plus.sum(1), self.minus.sum(1)

    def share(self, up: Tensor, down: Tensor) -> Tensor:
        """Return the contributions times the factors."""
        return (self.plus * up[:, None] + self.minus * down[:, None]).sum(2)

    def evenly(self, relevance: Tensor) -> Tensor:
        """Return relevance spread over what is connected."""
        connected = self.is_connected.to(relevance.dtype)
        return relevance @ (connected / connected.sum(0).clamp(min=1)).T

    def squares(self, relevance: Tensor) -> Tensor:
        """Return relevance in proportion to squared weights."""
        return self._by(self.matrix.square().expand(len(self.a), -1, -1), relevance)

    def in_box(self, relevance: Tensor) -> Tensor:
        """Return relevance by contributions a w - low w+ - high w-."""
        low, high = (end.flatten(1) for end in self.ends)
        floor, ceiling = torch.minimum(low, self.a), torch.maximum(high, self.a)
        up, down = self.matrix.clamp(min=0), self.matrix.clamp(max=0)
        parts = self.plus + self.minus - floor[:, :, None] * up - ceiling[:, :, None] * down
        return self._by(parts, relevance)

    def _by(self, parts: Tensor, relevance: Tensor) -> Tensor:
        size = parts.sum(1)
        remains = size > NEGLIGIBLE * largest(size)
        factor = quotient(relevance, size, remains)
        rest = self.evenly(torch.where(remains, 0.0, relevance))
        return (parts * factor[:, None]).sum(2) + rest


def matrix_of(op: Op, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return the matrix [input, output] of a linear operation with one input."""
    n = int(torch.tensor(shape).prod())
    rows = torch.eye(n, dtype=dtype).view(n, *shape)
    return apply(op, [rows], with_constants=False).flatten(1)


def centred(op: Op, a: Tensor) -> Dense:
    """Return a norm by the sample's own statistics, whose mean and size are constants."""
    n = a[0].numel()
    places = torch.arange(n).view(a.shape[1:])
    if op.kind == "layer_norm":
        width = op.weights["weight"].numel()
        groups = places.flatten() // width
    else:
        n_groups = op.settings.get("groups", a.shape[1])
        groups = places.flatten() // (n // n_groups)

    same = (groups[:, None] == groups).to(a.dtype)
    average = same / same.sum(0)
    rows = a.flatten(1)
    variance = rows.square() @ average - (rows @ average).square()
    gain = 1 / (variance + op.settings.get("eps", 1e-5)).sqrt()
    bias, scale = (_of_entries(op, name, a) for name in ("bias", "weight"))
    matrix = (torch.eye(n, dtype=a.dtype) - average) * (gain * scale)[:, None]
    return Dense(a, matrix, bias, torch.eye(n) > 0)


def tangent_of_softmax(a: Tensor) -> Dense:
    """Return softmax over the last axis as its tangent, whose constant part is a bias."""
    n, width = a[0].numel(), a.shape[-1]
    power = torch.exp(a)
    share = (power / power.sum(-1, keepdim=True)).flatten(1)
    groups = torch.arange(n) // width
    same = (groups[:, None] == groups).to(a.dtype)
    matrix = torch.diag_embed(share) - share[:, :, None] * share[:, None, :] * same
    bias = share - (a.flatten(1)[:, :, None] * matrix).sum(1)
    return Dense(a, matrix, bias, torch.eye(n) > 0)


def _of_entries(op: Op, name: str, a: Tensor) -> Tensor:
    weight = op.weights[name].to(a.dtype)
    if op.kind != "layer_norm":
        weight = weight.view(-1, *[1] * (a.ndim - 2))
    return weight.expand(a.shape[1:]).flatten()[None]


class Factor(Unit):
    """One factor of a matrix product, with the other as its weights."""

    def __init__(self, a: Tensor, other: Tensor, is_left: bool) -> None:
        self.a, self.other, self.is_left = a, other, is_left
        self.bias = torch.zeros((), dtype=a.dtype)
        self.signs = (a.clamp(min=0), a.clamp(max=0))
        self.weights = (other.clamp(min=0), other.clamp(max=0))

    def _product(self, a: Tensor, other: Tensor) -> Tensor:
        return a @ other if self.is_left else other @ a

    def _back(self, other: Tensor, factor: Tensor) -> Tensor:
        turned = other.transpose(-2, -1)
        return factor @ turned if self.is_left else turned @ factor

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return the sums of the contributions by sign."""
        (a_plus, a_minus), (plus, minus) = self.signs, self.weights
        positive = self._product(a_plus, plus) + self._product(a_minus, minus)
        negative = self._product(a_plus, minus) + self._product(a_minus, plus)
        return positive, negative

    def share(self, up: Tensor, down: Tensor) -> Tensor:
        """Return the contributions times the factors."""
        (a_plus, a_minus), (plus, minus) = self.signs, self.weights
        of_plus = self._back(plus, up) + self._back(minus, down)
        of_minus = self._back(minus, up) + self._back(plus, down)
        return a_plus * of_plus + a_minus * of_minus

    def evenly(self, relevance: Tensor) -> Tensor:
        """Return relevance spread over the inputs of each output."""
        n_inputs = self.a.shape[-1 if self.is_left else -2]
        return self._back(torch.ones_like(self.other), relevance / n_inputs)

    def squares(self, relevance: Tensor) -> Tensor:
        """No factor is a first layer."""
        raise Unknown("squared weights of a factor")

    def in_box(self, relevance: Tensor) -> Tensor:
        """No factor is a first layer."""
        raise Unknown("the box rule of a factor")

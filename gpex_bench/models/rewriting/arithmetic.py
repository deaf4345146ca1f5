"""Calls that add, multiply, divide, mask, or take matrix products."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from gpex_bench.models.rewriting.generalising import Shape
from gpex_bench.models.rewriting.operations import (
    Add,
    Divide,
    ElementWise,
    MatrixProduct,
    Product,
    Scale,
    Shift,
)
from gpex_bench.models.rewriting.site import NotKnown, Number, Site, is_signal, n_axes, translates


@translates("add")
def add(site: Site, input: Any, other: Any, *, alpha: Number = 1) -> fx.Node:
    """Add two signals, or a constant."""
    if not is_signal(other):
        constant = site.number(other)
        return shift(site, input, constant * alpha)

    if not is_signal(input):
        factor = site.number(alpha)
        scaled = scale(site, other, factor)
        return shift(site, scaled, site.number(input))

    first = site.expand(input)
    second = site.expand(other)
    return site.emit(Add((1, alpha)), first, second)


@translates("sub")
def subtract(site: Site, input: Any, other: Any, *, alpha: Number = 1) -> fx.Node:
    """Subtract a signal or a constant."""
    return add(site, input, other, alpha=-alpha)


@translates("rsub")
def subtract_from(site: Site, input: Any, other: Any, *, alpha: Number = 1) -> fx.Node:
    """Subtract a signal from another or from a constant."""
    return add(site, other, input, alpha=-alpha)


@translates("neg")
def negate(site: Site, input: fx.Node) -> fx.Node:
    """Change the sign."""
    return scale(site, input, site.number(-1))


@translates("copy")
def copy(site: Site, input: Any, other: Any, non_blocking: bool = False) -> fx.Node:
    """Overwrite a tensor with a signal."""
    if not is_signal(other):
        raise NotKnown
    return site.expand(other)


@translates("mul")
def multiply(site: Site, input: Any, other: Any) -> fx.Node:
    """Multiply two signals, or by a constant."""
    if not is_signal(other):
        return scale(site, input, site.number(other))
    if not is_signal(input):
        return scale(site, other, site.number(input))

    first = site.expand(input)
    second = site.expand(other)
    return site.emit(Product(), first, second)


@translates("div")
def divide(site: Site, input: Any, other: Any, *, rounding_mode: str | None = None) -> fx.Node:
    """Divide by a signal or a constant."""
    if rounding_mode is not None:
        raise NotKnown
    if not is_signal(other):
        return scale(site, input, 1 / site.number(other))

    if not is_signal(input):
        inverse = ElementWise(torch.reciprocal, "reciprocal")
        node = site.emit(inverse, other, shape=other.meta["shape"], name="reciprocal")
        return scale(site, node, site.number(input))

    numerator = site.expand(input)
    denominator = site.expand(other)
    return site.emit(Divide(), numerator, denominator)


@translates("rdiv")
def divide_into(site: Site, input: Any, other: Any) -> fx.Node:
    """Divide a constant by a signal."""
    return divide(site, other, input)


def shift(site: Site, node: fx.Node, constant: Tensor) -> fx.Node:
    """Add a constant, unless it is 0."""
    expanded = site.expand(node)
    starts_a_sum = constant.numel() == 1 and not constant.any()
    if starts_a_sum:
        return expanded

    # a mask may be infinite, whose products with 0 are no numbers
    lowest = torch.finfo(constant.dtype).min / 4
    finite = constant.clamp(min=lowest)
    return site.emit(Shift(finite), expanded)


def scale(site: Site, node: fx.Node, constant: Tensor) -> fx.Node:
    """Multiply by a constant, unless it is 1."""
    expanded = site.expand(node)
    changes_nothing = constant.numel() == 1 and bool(constant == 1)
    return expanded if changes_nothing else site.emit(Scale(constant), expanded)


# --- masks ---


@translates("masked_fill")
def masked_fill(site: Site, input: Any, mask: Any, value: Any) -> fx.Node:
    """Put a number where a constant mask says."""
    site.check_only(input, mask, value)
    mask = site.tensor(mask)
    kept = scale(site, input, site.number(~mask))
    filled = _where(mask, site.number(value))
    return shift(site, kept, filled)


@translates("where")
def where(site: Site, condition: Any, input: Any, other: Any) -> fx.Node:
    """Choose entries of two signals, or of a signal and a constant, by a constant condition."""
    if site.has_signals(condition):
        raise NotKnown

    condition = site.tensor(condition)
    parts = []
    added = site.number(0)
    for mask, part in ((condition, input), (~condition, other)):
        if is_signal(part):
            parts.append(scale(site, part, site.number(mask)))
        else:
            added = _where(mask, site.number(part))

    node = parts[0] if len(parts) == 1 else site.emit(Add(), *parts)
    return shift(site, node, added)


def _where(mask: Tensor, value: Tensor) -> Tensor:
    return torch.where(mask, value, torch.zeros_like(value))


# --- matrix products ---


@translates("matmul", "mm", "bmm", "mv")
def matmul(site: Site, input: Any, other: Any) -> fx.Node:
    """Multiply matrices of signals; with a constant matrix, make a linear layer."""
    left, right = site.tensor(input), site.tensor(other)
    if is_signal(left) and is_signal(right):
        return site.emit(MatrixProduct(), left, right)

    if is_signal(left) and right.ndim == 2:
        return _linear(site, left, right.mT, site.shape)
    if is_signal(left) and right.ndim == 1:
        row = right[None]
        column = _linear(site, left, row, (*site.shape, 1))
        return site.move(torch.squeeze, column, -1, shape=site.shape, name="squeeze")
    if is_signal(right) and left.ndim == 2 and n_axes(right) > 2:
        turned = _turned(site, right)
        made = _linear(site, turned, left, _swapped(site.shape))
        return _turned(site, made)

    nodes = [site.as_node(part) for part in (left, right)]
    return site.emit(MatrixProduct(), *nodes)


@translates("rmatmul")
def multiply_from_left(site: Site, input: Any, other: Any) -> fx.Node:
    """Multiply matrices in the other order."""
    return matmul(site, other, input)


def _turned(site: Site, node: fx.Node) -> fx.Node:
    shape = _swapped(node.meta["shape"])
    return site.move(torch.transpose, node, -1, -2, shape=shape, name="transpose")


def _swapped(shape: Shape) -> Shape:
    *others, row, column = shape
    return (*others, column, row)


def _linear(site: Site, node: fx.Node, weight: Tensor, shape: Shape) -> fx.Node:
    n_out, n_in = weight.shape
    layer = nn.Linear(n_in, n_out, bias=False, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    return site.emit(layer, node, shape=shape)


@translates("einsum")
def einsum(site: Site, equation: Any, *operands: Any) -> fx.Node:
    """Multiply two signals, or a signal and a constant, as an equation says."""
    first, *others = operands
    if isinstance(first, tuple) and not others:
        operands = first
    if not isinstance(equation, str) or len(operands) != 2:
        raise NotKnown

    nodes = [site.as_node(operand) for operand in operands]
    return site.emit(MatrixProduct(equation), *nodes)

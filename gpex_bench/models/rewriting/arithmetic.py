"""Calls that add, multiply, divide, mask, or take matrix products."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from gpex_bench.models.rewriting.operations import (
    Add,
    Divide,
    ElementWise,
    MatrixProduct,
    Product,
    Scale,
    Shift,
)
from gpex_bench.models.rewriting.site import NotKnown, Number, Site, translates


@translates("add")
def add(site: Site, input: Any, other: Any, *, alpha: Number = 1) -> fx.Node:
    """Add two signals, or a constant."""
    if isinstance(input, fx.Node) and isinstance(other, fx.Node):
        parts = [site.expand(part) for part in (input, other)]
        return site.emit(Add((1, alpha)), *parts)
    if isinstance(input, fx.Node):
        return _shift(site, input, site.number(other) * alpha)
    return _shift(site, _scale(site, other, site.number(alpha)), site.number(input))


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
    return _scale(site, input, site.number(-1))


@translates("copy")
def copy(site: Site, input: Any, other: Any, non_blocking: bool = False) -> fx.Node:
    """Overwrite a tensor with a signal."""
    if not isinstance(other, fx.Node):
        raise NotKnown
    return site.expand(other)


@translates("mul")
def multiply(site: Site, input: Any, other: Any) -> fx.Node:
    """Multiply two signals, or by a constant."""
    if isinstance(input, fx.Node) and isinstance(other, fx.Node):
        return site.emit(Product(), *[site.expand(part) for part in (input, other)])
    signal, constant = (input, other) if isinstance(input, fx.Node) else (other, input)
    return _scale(site, signal, site.number(constant))


@translates("div")
def divide(site: Site, input: Any, other: Any, *, rounding_mode: str | None = None) -> fx.Node:
    """Divide by a signal or a constant."""
    if rounding_mode is not None:
        raise NotKnown
    if isinstance(input, fx.Node) and isinstance(other, fx.Node):
        return site.emit(Divide(), *[site.expand(part) for part in (input, other)])
    if isinstance(input, fx.Node):
        return _scale(site, input, 1 / site.number(other))
    inverse = ElementWise(torch.reciprocal, "reciprocal")
    node = site.emit(inverse, other, shape=other.meta["shape"], name="reciprocal")
    return _scale(site, node, site.number(input))


@translates("rdiv")
def divide_into(site: Site, input: Any, other: Any) -> fx.Node:
    """Divide a constant by a signal."""
    return divide(site, other, input)


def _shift(site: Site, node: fx.Node, constant: Tensor) -> fx.Node:
    expanded = site.expand(node)
    if constant.numel() == 1 and not constant.any():
        return expanded  # the start of a sum
    # a mask may be infinite, whose products with 0 are no numbers
    lowest = torch.finfo(constant.dtype).min / 4
    return site.emit(Shift(constant.clamp(min=lowest)), expanded)


def _scale(site: Site, node: fx.Node, constant: Tensor) -> fx.Node:
    expanded = site.expand(node)
    if constant.numel() == 1 and bool((constant == 1).all()):
        return expanded
    return site.emit(Scale(constant), expanded)


# --- masks ---


@translates("masked_fill")
def masked_fill(site: Site, input: Any, mask: Any, value: Any) -> fx.Node:
    """Put a number where a constant mask says."""
    if not isinstance(input, fx.Node) or site.has_signals((mask, value)):
        raise NotKnown
    mask = site.tensor(mask)
    kept = _scale(site, input, site.number(~mask))
    return _shift(site, kept, _where(mask, site.number(value)))


@translates("where")
def where(site: Site, condition: Any, input: Any, other: Any) -> fx.Node:
    """Choose entries of two signals, or of a signal and a constant, by a constant condition."""
    if site.has_signals(condition):
        raise NotKnown
    condition = site.tensor(condition)
    parts = []
    shift = site.number(0)
    for mask, part in ((condition, input), (~condition, other)):
        if isinstance(part, fx.Node):
            parts.append(_scale(site, part, site.number(mask)))
        else:
            shift = _where(mask, site.number(part))
    node = parts[0] if len(parts) == 1 else site.emit(Add(), *parts)
    return _shift(site, node, shift)


def _where(mask: Tensor, value: Tensor) -> Tensor:
    return torch.where(mask, value, torch.zeros_like(value))


# --- matrix products ---


@translates("matmul", "mm", "bmm", "mv")
def matmul(site: Site, input: Any, other: Any) -> fx.Node:
    """Multiply matrices of signals; with a constant matrix, make a linear layer."""
    if isinstance(input, fx.Node) and isinstance(other, fx.Node):
        return site.emit(MatrixProduct(), input, other)
    input, other = site.tensor(input), site.tensor(other)
    if isinstance(input, fx.Node) and other.ndim == 2:
        return _linear(site, input, other.mT)
    if isinstance(input, fx.Node) and other.ndim == 1:
        made = _linear(site, input, other[None], (*site.shape, 1))
        return site.move(torch.squeeze, made, -1, shape=site.shape, name="squeeze")
    if isinstance(input, Tensor) and input.ndim == 2 and len(other.meta["shape"]) > 2:
        turned = _turned(site, other, other.meta["shape"])
        made = _linear(site, turned, input, (*site.shape[:-2], site.shape[-1], site.shape[-2]))
        return _turned(site, made, made.meta["shape"])
    return site.emit(MatrixProduct(), site.as_node(input), site.as_node(other))


@translates("rmatmul")
def multiply_from_left(site: Site, input: Any, other: Any) -> fx.Node:
    """Multiply matrices in the other order."""
    return matmul(site, other, input)


def _turned(site: Site, node: fx.Node, shape: Any) -> fx.Node:
    turned = (*shape[:-2], shape[-1], shape[-2])
    return site.move(torch.transpose, node, -1, -2, shape=turned, name="transpose")


def _linear(site: Site, node: fx.Node, weight: Tensor, shape: Any = None) -> fx.Node:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    return site.emit(layer, node, shape=shape)


@translates("einsum")
def einsum(site: Site, equation: Any, *operands: Any) -> fx.Node:
    """Multiply two signals, or a signal and a constant, as an equation says."""
    if len(operands) == 1 and isinstance(operands[0], tuple):
        operands = operands[0]
    if not isinstance(equation, str) or len(operands) != 2:
        raise NotKnown
    return site.emit(MatrixProduct(equation), *[site.as_node(part) for part in operands])

"""One operation of a description as people write it: a module, a function, in place, shared.

Steps look their modules up by name when they run, so that a copy of the network is one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from fuzz_ops import Op
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, weight_norm

Step = Callable[..., Tensor]  # of the owner of the modules, and the inputs
TORCH = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
}
IN_PLACE = ("relu", "relu6", "leaky_relu", "elu", "silu", "hardswish", "hardsigmoid")


def step(owner: nn.Module, number: int, op: Op) -> Step:
    """Return an operation as a function of its inputs; register what it needs."""
    name = f"{op.kind}{number}"
    if op.kind in ("linear", "conv"):
        return _weighted(owner, name, op)
    if "norm" in op.kind:
        return _norm(owner, name, op)
    if op.kind == "act":
        return _activation(owner, name, op)
    if op.kind in ("max_pool", "avg_pool", "adaptive_avg", "adaptive_max"):
        return _pool(owner, name, op)
    return _other(owner, name, op)


def _call(name: str, owner: Any, x: Tensor) -> Tensor:
    return getattr(owner, name)(x)


def _by_keyword(name: str, owner: Any, x: Tensor) -> Tensor:
    return getattr(owner, name)(input=x)


def _module(owner: nn.Module, name: str, module: nn.Module, style: str) -> Step:
    """Register a module and return its call."""
    if style == "subclass":
        parent = type(module)
        module.__class__ = type(f"My{parent.__name__}", (parent,), {})
    owner.add_module(name, module)
    return partial(_by_keyword if style == "keyword" else _call, name)


def linear(op: Op) -> nn.Linear:
    """Return a linear layer with the weights of an operation."""
    weight, bias = op.weights["weight"], op.weights.get("bias")
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    _fill(module, op)
    return module


def _fill(module: Any, op: Op) -> None:
    with torch.no_grad():
        for name, value in op.weights.items():
            ours = {"mean": "running_mean", "var": "running_var"}.get(name, name)
            getattr(module, ours).copy_(value)


def _weighted(owner: nn.Module, name: str, op: Op) -> Step:
    if op.shared >= 0:
        shared = f"{op.kind}{op.shared}"
        if hasattr(owner, shared):
            return partial(_call, shared)
    if op.style in ("functional", "product"):
        return _as_function(owner, name, op)

    weight = op.weights["weight"]
    module: nn.Module = linear(op) if op.kind == "linear" else _convolution(op)
    _fill(module, op)
    if op.style == "weight_norm":
        weight_norm(module)
    if op.style == "parametrized":
        parametrizations.weight_norm(module)
    if op.style == "own weight":  # the weight that acts is not the one that is stored
        module.weight.data = weight / 2
        module.__class__ = type("Doubled", (type(module),), {"forward": _doubled})
    return _module(owner, name, module, op.style)


def _doubled(self: Any, x: Tensor) -> Tensor:
    if isinstance(self, nn.Linear):
        return functional.linear(x, self.weight * 2, self.bias)
    return self._conv_forward(x, self.weight * 2, self.bias)


def _convolution(op: Op) -> nn.Module:
    weight = op.weights["weight"]
    kind = nn.Conv2d if weight.ndim == 4 else nn.Conv1d
    n_inputs = weight.shape[1] * op.settings["groups"]
    has_bias = "bias" in op.weights
    return kind(n_inputs, len(weight), weight.shape[2], bias=has_bias, **op.settings)


def _as_function(owner: nn.Module, name: str, op: Op) -> Step:
    owner.register_parameter(f"{name}_weight", nn.Parameter(op.weights["weight"].clone()))
    bias = op.weights.get("bias")
    owner.register_parameter(f"{name}_bias", None if bias is None else nn.Parameter(bias.clone()))
    settings, rank, style = dict(op.settings), op.weights["weight"].ndim, op.style

    def call(owner: Any, x: Tensor) -> Tensor:
        weight, bias = getattr(owner, f"{name}_weight"), getattr(owner, f"{name}_bias")
        if style == "product":
            product = x @ weight.t()
            return product if bias is None else product + bias
        if rank == 2:
            return functional.linear(x, weight, bias)
        conv = functional.conv2d if rank == 4 else functional.conv1d
        return conv(x, weight, bias, **settings)

    return call


def _norm(owner: nn.Module, name: str, op: Op) -> Step:
    n, rank, module = op.shape[0], len(op.shape), None
    affine = {"affine": True}
    if op.kind == "batch_norm":
        module = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d}[rank](n)
    elif op.kind == "layer_norm":
        module = nn.LayerNorm(op.weights["weight"].shape)
    elif op.kind == "group_norm":
        module = nn.GroupNorm(op.settings["groups"], n)
    else:
        module = {2: nn.InstanceNorm1d, 3: nn.InstanceNorm2d}[rank](n, **affine)
    _fill(module, op)
    if op.style != "functional":
        return _module(owner, name, module, op.style)

    owner.add_module(name, module)  # keeps the numbers; the function is called
    groups = op.settings.get("groups")

    def call(owner: Any, x: Tensor) -> Tensor:
        kept = getattr(owner, name)
        if isinstance(kept, nn.LayerNorm):
            return functional.layer_norm(x, kept.normalized_shape, kept.weight, kept.bias)
        if groups:
            return functional.group_norm(x, groups, kept.weight, kept.bias)
        mean, variance = kept.running_mean, kept.running_var
        return functional.batch_norm(x, mean, variance, kept.weight, kept.bias)

    return call


def _activation(owner: Any, name: str, op: Op) -> Step:
    word, style = op.settings["name"], op.style
    in_place = style.startswith("in place")
    if word == "prelu":
        module: nn.Module = nn.PReLU(op.weights["weight"].numel())
        _fill(module, op)
        return _module(owner, name, module, style)
    if style == "one for all":
        if not hasattr(owner, f"the_{word}"):
            owner.add_module(f"the_{word}", TORCH[word]())
        return partial(_call, f"the_{word}")
    if style in ("functional", "function", "in place functional"):
        return partial(_function, word, in_place and word in IN_PLACE)
    if style in ("method", "in place method") and word in ("relu", "sigmoid", "tanh"):
        return partial(_method, word + "_" * in_place)
    given = {"inplace": True} if in_place and word in IN_PLACE else {}
    return _module(owner, name, TORCH[word](**given), style)


def _function(word: str, in_place: bool, owner: Any, x: Tensor) -> Tensor:
    function = getattr(functional, word)
    return function(x, inplace=True) if in_place else function(x)


def _method(word: str, owner: Any, x: Tensor) -> Tensor:
    return getattr(x, word)()


def _pool(owner: nn.Module, name: str, op: Op) -> Step:
    flat = "2d" if len(op.shape) == 3 else "1d"
    words = {"max_pool": "MaxPool", "avg_pool": "AvgPool", "adaptive_avg": "AdaptiveAvgPool"}
    words["adaptive_max"] = "AdaptiveMaxPool"
    settings = dict(op.settings)
    if op.style in ("functional", "function"):
        word = {"adaptive_avg": "adaptive_avg_pool", "adaptive_max": "adaptive_max_pool"}
        function = getattr(functional, word.get(op.kind, op.kind) + flat)
        return lambda owner, x: function(x, **settings)
    return _module(owner, name, getattr(nn, words[op.kind] + flat)(**settings), op.style)


def _other(owner: nn.Module, name: str, op: Op) -> Step:
    makers = {"add": _add, "product": _product, "cat": _cat, "scale": _constant}
    makers |= {"shift": _constant, "move": _move, "mean": _mean, "total": _mean}
    makers |= {"softmax": _softmax, "matmul": _matmul}
    return makers[op.kind](owner, name, op)


class Sum(nn.Module):
    """Adds what it gets; a class of this name has another signature elsewhere."""

    def __init__(self, factors: tuple[float, ...]) -> None:
        super().__init__()
        self.factors = factors

    def forward(self, values: list[Tensor], scale: float = 1.0) -> Tensor:
        """Return the weighted sum."""
        return values[0] * self.factors[0] * scale + values[1] * self.factors[1]


def _add(owner: nn.Module, name: str, op: Op) -> Step:
    factor, style = op.settings["factors"][1], op.style
    if style == "module":
        owner.add_module(name, Sum(op.settings["factors"]))
        return lambda owner, a, b: getattr(owner, name)([a, b])
    if factor == -1:
        ways = {"in place operator": operator.isub, "function": torch.sub}
        ways |= {"in place method": lambda a, b: a.sub_(b)}
        return _plain(ways.get(style, operator.sub))
    if factor != 1:
        ways = {"in place method": lambda a, b: a.add_(b, alpha=factor)}
        ways |= {"operator": lambda a, b: a + factor * b}
        ways |= {"in place operator": lambda a, b: operator.iadd(a, factor * b)}
        return _plain(ways.get(style, lambda a, b: torch.add(a, b, alpha=factor)))
    ways = {
        "function": torch.add,
        "method": lambda a, b: a.add(b),
        "in place operator": operator.iadd,
        "in place method": lambda a, b: a.add_(b),
        "sum": lambda a, b: sum([a, b]),
        "stack": lambda a, b: torch.stack([a, b]).sum(0),
    }
    return _plain(ways.get(style, operator.add))


def _plain(function: Callable[..., Tensor]) -> Step:
    return lambda owner, *inputs: function(*inputs)


class Multiply(nn.Module):
    """Multiplies two signals."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the product."""
        return a * b


def _product(owner: nn.Module, name: str, op: Op) -> Step:
    if op.style == "module":
        owner.add_module(name, Multiply())
        return lambda owner, a, b: getattr(owner, name)(a, b)
    ways = {"function": torch.mul, "method": lambda a, b: b.mul(a)}
    ways["in place operator"] = operator.imul
    return _plain(ways.get(op.style, operator.mul))


class Join(nn.Module):
    """Joins channels."""

    def forward(self, *parts: Tensor) -> Tensor:
        """Return all channels."""
        return torch.cat(parts, dim=1)


def _cat(owner: nn.Module, name: str, op: Op) -> Step:
    if op.style == "module":
        owner.add_module(name, Join())
        return lambda owner, *parts: getattr(owner, name)(*parts)
    return lambda owner, *parts: torch.cat(parts, 1)


def _constant(owner: nn.Module, name: str, op: Op) -> Step:
    constant, style = op.weights["constant"], op.style
    is_shift = op.kind == "shift"
    owner.register_buffer(f"{name}_constant", constant.clone())
    number = constant.item() if constant.numel() == 1 and style == "operator" else None

    def call(owner: Any, x: Tensor) -> Tensor:
        value = getattr(owner, f"{name}_constant") if number is None else number
        if style == "subtract":
            return x - (-value)
        if style == "divide":
            return x / (1 / value)
        if style == "function":
            return torch.add(x, value) if is_shift else torch.mul(x, value)
        if style == "in place operator":
            return operator.iadd(x, value) if is_shift else operator.imul(x, value)
        return value + x if is_shift else x * value

    return call


def _move(owner: nn.Module, name: str, op: Op) -> Step:
    word, style, settings = op.settings["name"], op.style, dict(op.settings)
    if word == "flatten" and style == "module" or word == "same":
        owner.add_module(name, nn.Flatten() if word == "flatten" else nn.Dropout(0.3))
        return partial(_call, name)
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "view": lambda x: x.reshape(x.shape[0], *settings["shape"]),
        "permute": lambda x: x.permute(*settings["dims"]),
        "pad": lambda x: functional.pad(x, settings["widths"]),
        "part": lambda x: x[:, settings["start"] : settings["stop"]],
    }
    flat = {"function": lambda x: torch.flatten(x, 1), "reshape": lambda x: x.reshape(len(x), -1)}
    flat["view by size"] = lambda x: x.contiguous().view(x.size(0), -1)
    way = flat.get(style, lambda x: x.flatten(1)) if word == "flatten" else ways[word]
    return _plain(way)


def _mean(owner: nn.Module, name: str, op: Op) -> Step:
    dims, keepdim = op.settings["dims"], op.settings.get("keepdim", False)
    if op.style == "method":
        word = {"mean": "mean", "total": "sum"}[op.kind]
        return lambda owner, x: getattr(x, word)(dims, keepdim=keepdim)
    function = torch.mean if op.kind == "mean" else torch.sum
    return lambda owner, x: function(x, dim=dims, keepdim=keepdim)


def _softmax(owner: nn.Module, name: str, op: Op) -> Step:
    if op.style == "module":
        owner.add_module(name, nn.Softmax(-1))
        return partial(_call, name)
    if op.style == "method":
        return lambda owner, x: x.softmax(-1)
    return lambda owner, x: functional.softmax(x, dim=-1)


def _matmul(owner: nn.Module, name: str, op: Op) -> Step:
    is_transposed, style = op.settings["transposed"], op.style

    def call(owner: Any, a: Tensor, b: Tensor) -> Tensor:
        second = b.transpose(-2, -1) if is_transposed else b
        if style == "method":
            return a.matmul(second)
        return torch.matmul(a, second) if style == "function" else a @ second

    return call

"""What the networks of `fuzz` are described by: operations, and the arithmetic of each.

A description is a list of operations; each names its sources by their place in the list. The
arithmetic is written here from the definitions, for tensors of any precision. Nothing of it is
shared with the explainers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Op:
    """One operation of a network."""

    kind: str
    sources: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()  # of its output, for one sample
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    style: str = "module"  # how a person would write it
    shared: int = -1  # the operation whose module it is; -1: its own
    # the sources by the names that the person reads them by: what was changed in place has two
    read_as: tuple[int, ...] = ()

    def line(self, number: int) -> str:
        """Return the operation as a line of text."""
        words = [f"{key}={value}" for key, value in self.settings.items()]
        words += [f"{key}{list(value.shape)}" for key, value in self.weights.items()]
        read = ", ".join(f"h{source}" for source in self.sources)
        if self.read_as != self.sources:
            read += " as " + ", ".join(f"h{name}" for name in self.read_as)
        own = "" if self.shared < 0 else f", the module of h{self.shared}"
        return (
            f"h{number} = {self.kind}({read}) {' '.join(words)} -> {list(self.shape)} "
            f"[{self.style}{own}]"
        )


@dataclass(frozen=True)
class Description:
    """A network: its operations, the last of which gives the logits."""

    name: str
    ops: tuple[Op, ...]
    n_trunk: int  # the first operations are the trunk, which gives maps; 0: there is none
    is_image: bool

    @property
    def text(self) -> str:
        """The description, one operation a line."""
        lines = [op.line(number) for number, op in enumerate(self.ops)]
        return "\n".join([f"{self.name}, trunk of {self.n_trunk}", *lines])


# --- arithmetic -----------------------------------------------------------------------------------

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda x: torch.where(x > 0, x, 0.0),
    "relu6": lambda x: torch.minimum(torch.where(x > 0, x, 0.0), torch.full_like(x, 6.0)),
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.01 * x),
    "elu": lambda x: torch.where(x > 0, x, torch.expm1(torch.where(x > 0, 0.0, x))),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "tanh": lambda x: torch.tanh(x),
    "softplus": lambda x: torch.log1p(torch.exp(-x.abs())) + torch.where(x > 0, x, 0.0),
    "hardswish": lambda x: x * (x + 3).clamp(0, 6) / 6,
    "hardsigmoid": lambda x: (x / 6 + 0.5).clamp(0, 1),
}
LINEAR = frozenset(
    {"linear", "conv", "batch_norm", "avg_pool", "adaptive_avg", "mean", "total", "add", "scale"}
    | {"shift", "move", "cat"}
)


def apply(op: Op, inputs: Sequence[Tensor], with_constants: bool = True) -> Tensor:
    """Return the output of an operation.

    Args:
        op: the operation.
        inputs: the outputs of its sources [batch, *shape].
        with_constants: False: a linear operation without its biases and shifts.
    """
    x = inputs[0]
    weights = {name: weight.to(x.dtype) for name, weight in op.weights.items()}
    bias = weights.get("bias") if with_constants else None
    result = _weighted(op, x, weights, bias)
    if result is None:
        result = _norm(op, x, weights, with_constants)
    if result is None:
        result = _pool(op, x)
    if result is None:
        result = _other(op, inputs, weights, with_constants)
    return result


def _weighted(op: Op, x: Tensor, weights: dict, bias: Tensor | None) -> Tensor | None:
    if op.kind == "linear":
        product = x @ weights["weight"].T
        return product if bias is None else product + bias
    if op.kind == "conv":
        conv = functional.conv2d if x.ndim == 4 else functional.conv1d
        return conv(x, weights["weight"], bias, **op.settings)
    return None


def _norm(op: Op, x: Tensor, weights: dict, with_constants: bool) -> Tensor | None:
    if "norm" not in op.kind:
        return None
    eps = op.settings.get("eps", 1e-5)
    channels = (-1, *[1] * (x.ndim - 2))
    if op.kind == "batch_norm":
        scale = weights["weight"] / (weights["var"] + eps).sqrt()
        shift = weights["bias"] - weights["mean"] * scale
        result = x * scale.view(channels)
        return result + shift.view(channels) if with_constants else result

    # the others normalise by the sample itself
    grouped, shape = x, weights["weight"].shape
    if op.kind == "layer_norm":
        axes = tuple(range(-len(shape), 0))
    else:
        n_groups = op.settings.get("groups", x.shape[1])
        grouped = x.reshape(len(x), n_groups, -1)
        axes, shape = (-1,), channels
    centred = grouped - grouped.mean(axes, keepdim=True)
    normal = centred / (centred.square().mean(axes, keepdim=True) + eps).sqrt()
    return normal.reshape(x.shape) * weights["weight"].view(shape) + weights["bias"].view(shape)


def _pool(op: Op, x: Tensor) -> Tensor | None:
    flat = "2d" if x.ndim == 4 else "1d"
    names = {"max_pool": "max_pool", "avg_pool": "avg_pool"}
    names |= {"adaptive_avg": "adaptive_avg_pool", "adaptive_max": "adaptive_max_pool"}
    if op.kind in names:
        return getattr(functional, names[op.kind] + flat)(x, **op.settings)
    if op.kind in ("mean", "total"):
        reduce = torch.mean if op.kind == "mean" else torch.sum
        return reduce(x, op.settings["dims"], keepdim=op.settings.get("keepdim", False))
    return None


def _other(op: Op, inputs: Sequence[Tensor], weights: dict, with_constants: bool) -> Tensor:
    x = inputs[0]
    if op.kind == "act":
        return _activation(op, x, weights)
    if op.kind in ("add", "product", "cat"):
        return _join(op, inputs)
    if op.kind == "scale":
        return x * weights["constant"]
    if op.kind == "shift":
        return x + weights["constant"] if with_constants else x
    if op.kind == "move":
        return _move(op, x)
    if op.kind == "softmax":
        powers = torch.exp(x - x.amax(-1, keepdim=True).detach())
        return powers / powers.sum(-1, keepdim=True)
    if op.kind == "matmul":
        second = inputs[1].transpose(-2, -1) if op.settings["transposed"] else inputs[1]
        return inputs[0] @ second
    raise KeyError(op.kind)


def _activation(op: Op, x: Tensor, weights: dict) -> Tensor:
    if op.settings["name"] == "prelu":
        slope = weights["weight"].view(-1, *[1] * (x.ndim - 2))
        return torch.where(x > 0, x, slope * x)
    return ACTIVATIONS[op.settings["name"]](x)


def _join(op: Op, inputs: Sequence[Tensor]) -> Tensor:
    if op.kind == "product":
        return inputs[0] * inputs[1]
    if op.kind == "cat":
        return torch.cat(list(inputs), op.settings.get("dim", 1))
    first, second = op.settings["factors"]
    return first * inputs[0] + second * inputs[1]


def _move(op: Op, x: Tensor) -> Tensor:
    name = op.settings["name"]
    if name == "flatten":
        return x.reshape(len(x), -1)
    if name == "view":
        return x.reshape(len(x), *op.settings["shape"])
    if name == "permute":
        return x.permute(op.settings["dims"])
    if name == "pad":
        return functional.pad(x, op.settings["widths"])
    if name == "part":
        return x[:, op.settings["start"] : op.settings["stop"]]
    if name == "call":  # read from a network
        return op.settings["call"](x)
    if name == "same":  # dropout in eval mode, identity
        return x
    raise KeyError(name)


def run(description: Description, x: Tensor) -> list[Tensor]:
    """Return the outputs of all operations."""
    values: list[Tensor] = []
    for op in description.ops:
        if op.kind == "input":
            values.append(x)
        elif op.kind == "constant":
            values.append(op.weights["constant"].to(x.dtype))
        else:
            values.append(apply(op, [values[source] for source in op.sources]))
    return values

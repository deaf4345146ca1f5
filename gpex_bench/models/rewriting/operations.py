"""Modules for what networks do between their layers: each does one thing and has no parts.

The graph of a rewritten network is made of these and of torch.nn's own modules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Softmax
from torch.nn import functional as F

__all__ = [
    "Add",
    "Concatenate",
    "Divide",
    "ElementWise",
    "Extreme",
    "MatrixProduct",
    "Mean",
    "Move",
    "Other",
    "Product",
    "Resample",
    "Scale",
    "Shift",
    "Softmax",
    "Stack",
    "Total",
]

Axes = tuple[int, ...]


class Add(nn.Module):
    """The sum of signals of one shape, each times its number in `alphas`."""

    def __init__(self, alphas: tuple[int | float, ...] = (1, 1)) -> None:
        super().__init__()
        self.alphas = alphas

    def forward(self, *signals: Tensor) -> Tensor:
        """Return the weighted sum."""
        total = self._term(0, signals)
        for number in range(1, len(self.alphas)):
            total = total + self._term(number, signals)
        return total

    def _term(self, number: int, signals: tuple[Tensor, ...]) -> Tensor:
        alpha = self.alphas[number]
        signal = signals[number]
        return signal if alpha == 1 else alpha * signal

    def extra_repr(self) -> str:
        """Return the numbers."""
        return f"alphas={self.alphas}"


class Shift(nn.Module):
    """A signal plus a constant, which broadcasts to the signal's shape."""

    constant: Tensor

    def __init__(self, constant: Tensor) -> None:
        super().__init__()
        self.register_buffer("constant", constant)

    def forward(self, x: Tensor) -> Tensor:
        """Return the shifted signal."""
        return x + self.constant


class Scale(nn.Module):
    """A signal times a constant, which broadcasts to the signal's shape."""

    constant: Tensor

    def __init__(self, constant: Tensor) -> None:
        super().__init__()
        self.register_buffer("constant", constant)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled signal."""
        return x * self.constant


class Product(nn.Module):
    """The product of two signals of one shape, entry by entry."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the product."""
        return a * b


class Divide(nn.Module):
    """The quotient of two signals of one shape, entry by entry."""

    def forward(self, numerator: Tensor, denominator: Tensor) -> Tensor:
        """Return the quotient."""
        return numerator / denominator


class MatrixProduct(nn.Module):
    """The matrix product of two signals, or what an equation of `torch.einsum` makes of them.

    It is linear in each of them. One of the two may be a constant (a node `get_attr`).
    """

    def __init__(self, equation: str = "") -> None:
        super().__init__()
        self.equation = equation

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the product."""
        if self.equation:
            return torch.einsum(self.equation, a, b)
        return torch.matmul(a, b)

    def extra_repr(self) -> str:
        """Return the equation."""
        return repr(self.equation)


class Concatenate(nn.Module):
    """Signals one after another along an axis; constants among them are repeated for each row."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *parts: Tensor) -> Tensor:
        """Return the joined signal."""
        n_axes = parts[0].ndim
        shape = [max(part.shape[axis] for part in parts) for axis in range(n_axes)]
        whole = []
        for part in parts:
            shape[self.dim] = part.shape[self.dim]
            whole.append(part.expand(shape))
        return torch.cat(whole, self.dim)

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"dim={self.dim}"


class Stack(nn.Module):
    """Signals side by side along a new axis; constants among them broadcast."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *parts: Tensor) -> Tensor:
        """Return the stacked signal."""
        return torch.stack(torch.broadcast_tensors(*parts), self.dim)

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"dim={self.dim}"


class _Reduction(nn.Module):
    """What makes one number of the entries along some axes."""

    def __init__(self, dim: Axes, keepdim: bool = False) -> None:
        super().__init__()
        self.dim = dim
        self.keepdim = keepdim

    def extra_repr(self) -> str:
        """Return the axes."""
        return f"dim={self.dim}, keepdim={self.keepdim}"


class Mean(_Reduction):
    """The mean over some axes."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean."""
        return x.mean(self.dim, self.keepdim)


class Total(_Reduction):
    """The sum over some axes."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum."""
        return x.sum(self.dim, self.keepdim)


class Extreme(_Reduction):
    """The largest entry along some axes, or the smallest."""

    def __init__(self, dim: Axes, keepdim: bool = False, largest: bool = True) -> None:
        super().__init__(dim, keepdim)
        self.largest = largest

    def forward(self, x: Tensor) -> Tensor:
        """Return the extreme; its gradient is shared between ties."""
        if self.largest:
            return x.amax(self.dim, self.keepdim)
        return x.amin(self.dim, self.keepdim)


class Resample(nn.Module):
    """A signal at other places, by interpolation: each value is a weighted mean of its own channel.

    Linear, without constants. The options are those of `torch.nn.functional.interpolate`.
    """

    def __init__(self, mode: str, **options: Any) -> None:
        super().__init__()
        self.mode = mode
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        """Return the signal at its new size."""
        return F.interpolate(x, mode=self.mode, **self.options)

    def extra_repr(self) -> str:
        """Return mode and options."""
        return f"{self.mode!r}, " + ", ".join(
            f"{name}={value!r}" for name, value in self.options.items()
        )


class _Function(nn.Module):
    """A function of signals under a name."""

    def __init__(self, function: Callable[..., Tensor], name: str) -> None:
        super().__init__()
        self.function = function
        self.name = name

    def forward(self, *signals: Tensor) -> Tensor:
        """Return what the function makes of the signals."""
        return self.function(*signals)

    def extra_repr(self) -> str:
        """Return the name."""
        return self.name


class ElementWise(_Function):
    """A function of each entry by itself that has no module in torch.nn."""


class Move(_Function):
    """Values move, are repeated, left out, or joined by zeros; none changes. Linear."""


class Other(_Function):
    """Anything else. A method that needs to know what it does must refuse it."""

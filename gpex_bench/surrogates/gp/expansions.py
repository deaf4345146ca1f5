"""Finite features phi of kernels on vectors: phi(z) . phi(z') is, or is near, k(z, z')."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

Kernel = Literal["rbf", "arc_cosine"]
# of the largest eigenvalue of the landmarks' Gram matrix: directions below it are rounding
NULL = 1e-12


class Expansion(nn.Module, ABC):
    """Features of a kernel; float64 in and out."""

    @abstractmethod
    def forward(self, z: Float64[Tensor, "batch width"]) -> Float64[Tensor, "batch dim"]:
        """Return phi(z)."""

    @abstractmethod
    def prior(self, z: Float64[Tensor, "batch width"]) -> Float64[Tensor, "batch"]:
        """Return k(z, z), at least |phi(z)|^2 but for rounding or chance."""


class Landmarks(Expansion):
    """Nystrom features of landmarks Z (williams2001using): phi(z) = K^-1/2 k(Z, z).

    K is the Gram matrix of the landmarks. Exact between landmarks. What phi leaves out of the
    kernel at z is k(z, z) - |phi(z)|^2.
    """

    points: Tensor  # [landmark, width]
    whitener: Tensor  # [landmark, dim], eigenvectors of K over the roots of their eigenvalues
    length: Tensor  # length scale of the RBF kernel

    def __init__(
        self, kernel: Kernel, points: Float[Tensor, "landmark width"], length: float
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.register_buffer("points", points.double())
        self.register_buffer("length", torch.tensor(length, dtype=torch.float64))

        eigenvalue, vectors = torch.linalg.eigh(self.gram(self.points))
        is_kept = eigenvalue > NULL * eigenvalue[-1]
        rate = torch.where(is_kept, eigenvalue.where(is_kept, 1.0).rsqrt(), 0.0)
        self.register_buffer("whitener", vectors * rate)

    def gram(self, z: Float64[Tensor, "batch width"]) -> Float64[Tensor, "batch landmark"]:
        """Return k(z, Z)."""
        if self.kernel == "rbf":
            return rbf(z, self.points, self.length)
        return arc_cosine(z, self.points)

    def forward(self, z: Float64[Tensor, "batch width"]) -> Float64[Tensor, "batch dim"]:
        """Return K^-1/2 k(Z, z)."""
        return self.gram(z) @ self.whitener

    def prior(self, z: Float64[Tensor, "batch width"]) -> Float64[Tensor, "batch"]:
        """Return k(z, z)."""
        if self.kernel == "rbf":
            return torch.ones_like(z[:, 0])
        return 1 + z.square().sum(1)


class RandomUnits(Expansion):
    """Random ReLU units, sqrt(2 / dim) relu(W [z, 1]) (cho2009kernel).

    Their kernel is the arc-cosine kernel in expectation.
    """

    units: Tensor  # W [dim, width + 1]
    seed: Tensor  # from which W is drawn; W itself is not stored

    def __init__(self, width: int, dim: int, seed: int) -> None:
        super().__init__()
        self.register_buffer("seed", torch.tensor(seed))
        generator = torch.Generator().manual_seed(seed)
        units = torch.randn(dim, width + 1, generator=generator, dtype=torch.float64)
        self.register_buffer("units", units, persistent=False)

    def forward(self, z: Float64[Tensor, "batch width"]) -> Float64[Tensor, "batch dim"]:
        """Return the units' outputs."""
        outputs = (_with_one(z) @ self.units.T).relu()
        return outputs * (2 / len(self.units)) ** 0.5

    def prior(self, z: Float64[Tensor, "batch width"]) -> Float64[Tensor, "batch"]:
        """Return |phi(z)|^2: these features are the whole kernel, nothing is left out."""
        return self(z).square().sum(1)


def rbf(
    a: Float64[Tensor, "row width"], b: Float64[Tensor, "column width"], length: Float64[Tensor, ""]
) -> Float64[Tensor, "row column"]:
    """Return exp(-|a - b|^2 / (2 length^2))."""
    squared = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
    return torch.exp(-0.5 * squared.clamp(min=0) / length.square())


def arc_cosine(
    a: Float64[Tensor, "row width"], b: Float64[Tensor, "column width"]
) -> Float64[Tensor, "row column"]:
    """Return the arc-cosine kernel of order 1 of [a, 1] and [b, 1].

    With the angle t between the two it is |a||b| (sin t + (pi - t) cos t) / pi.

    It is the kernel of a wide layer of ReLU units and grows with the norms, as the outputs of a
    ReLU network do.
    """
    a = _with_one(a)
    b = _with_one(b)
    size_a = a.norm(dim=1)[:, None]
    size_b = b.norm(dim=1)
    size = size_a * size_b

    # the derivatives of arc cosine and root are infinite at the ends: stay a little away from them
    cosine = (a @ b.T / size).clamp(-1, 1)
    angle = torch.acos(cosine * (1 - 1e-15))
    sine_squared = (1 - cosine.square()).clamp(min=1e-30)
    sine = sine_squared.sqrt()

    shape = sine + (math.pi - angle) * cosine
    return size * shape / math.pi


def _with_one(z: Tensor) -> Tensor:
    """Return [z, 1]."""
    return torch.cat([z, torch.ones_like(z[:, :1])], 1)

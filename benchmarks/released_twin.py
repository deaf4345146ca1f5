"""A training step of GPEX as the authors' released code takes it, from its description.

Akbarnejad et al. (2023), released code at its last commit; what is slow about it is kept on
purpose, what is wrong is not (the Gram matrices belong to the rows, the noise has an effect). Per
step: a set difference over all M indices, two copies of all rows and one of all targets, and per
head two eigendecompositions of the same D x D matrix, lifted to M x D eigenvectors, lists of M - D
zeros, M x B kernels and a B x B product of which the diagonal is used.
"""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR, CEILING = 1e-5, 5.0  # of the detached variance
SMALLEST = 1e-4  # of an eigenvalue


class ReleasedTwin:
    """M stored rows [M, head, dim] and targets [M, head], of which a step refreshes some."""

    def __init__(self, rows: Tensor, targets: Tensor, noise: float = 1.0) -> None:
        self.rows = rows
        self.targets = targets
        self.noise = noise
        self.gram = torch.einsum("mhd,mhe->hde", rows, rows)

    def loss(self, u: Tensor, v: Tensor, index: list[int], new: Tensor) -> Tensor:
        """Return the mean over queries and heads of ((v - mu)^2 / var + log var) / 2.

        The variance is clamped and detached.
        """
        others = list(set(range(len(self.rows))).difference(index))
        old = self.rows[index]
        rows = torch.cat([new, self.rows[others]])
        targets = self.targets[index + others]

        total = u.new_zeros(())
        for head in range(u.shape[1]):
            before = old[:, head]
            after = new[:, head]
            gram = self.gram[head] - before.T @ before + after.T @ after
            x = u[:, head]
            points = rows[:, head]
            cross = points @ x.T

            alpha = self._solve(gram, points, targets[:, head, None])
            mean = (cross.T @ alpha)[:, 0]
            explained = cross.T @ self._solve(gram, points, cross)
            variance = (x @ x.T - explained).diagonal()
            variance = variance.clamp(FLOOR, CEILING).detach()

            error = v[:, head] - mean
            total = total + 0.5 * (error.square() / variance + variance.log()).mean()
        return total / u.shape[1]

    def update(self, index: list[int], new: Tensor) -> None:
        """Write rows, and patch the Gram matrices by them."""
        for head in range(new.shape[1]):
            before = self.rows[index, head]
            after = new[:, head]
            self.gram[head] += after.T @ after - before.T @ before
        self.rows[index] = new

    def _solve(self, gram: Tensor, points: Tensor, right: Tensor) -> Tensor:
        """Return (U U' + s I)^-1 right by the eigenvectors of U'U."""
        eigenvalue, vector = torch.linalg.eigh(gram)
        eigenvalue = eigenvalue.clamp(min=SMALLEST)
        # the list of M - D zeros is the released code's
        zeros = torch.tensor([0.0 for _ in range(len(points) - len(gram))], dtype=points.dtype)
        spectrum = torch.cat([eigenvalue, zeros])[: len(gram)]

        lifted = points @ vector / spectrum.sqrt()
        inside = lifted.T @ right
        within = lifted @ (inside / (spectrum + self.noise)[:, None])
        outside = (right - lifted @ inside) / self.noise
        return within + outside

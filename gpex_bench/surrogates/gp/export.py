"""Hands a weight-space Gaussian process to gpytorch, as D pseudo-points per head.

With A = Q diag(l) Q', the points R = diag(l)^(1/2) Q' and targets diag(l)^(-1/2) Q'b have R'R = A
and R'v = b, which is all that a posterior depends on. gpytorch then gives samples, joint
covariances and fantasies at a cost without M.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float64
from torch import Tensor

from gpex_bench.surrogates.gp.posterior import State

if TYPE_CHECKING:
    from gpytorch.models import ExactGP

# of the largest eigenvalue of A: rounding; below it a pseudo-point has no effect
SMALLEST = 1e-15
# scale of a constant head, relative to its value: gpytorch rounds variances below 1e-10
CONSTANT = 1e-3


def pseudo_points(
    state: State,
) -> tuple[Float64[Tensor, "group dim dim"], Float64[Tensor, "group dim out"]]:
    """Return D points of each group's kernel space and their standardised targets.

    A process conditioned on them has the same posterior as one conditioned on all inducing points
    (not the same evidence: they are fewer). Where there are fewer inducing points than dimensions
    some of them are zero.
    """
    eigenvalue, q = torch.linalg.eigh(state.statistics.a)
    least = SMALLEST * eigenvalue.amax(-1, keepdim=True)
    least = least.clamp(min=torch.finfo(eigenvalue.dtype).tiny)
    root = eigenvalue.clamp(min=least).sqrt()[..., None]

    points = root * q.mT
    targets = (q.mT @ state.statistics.b) / root
    return points, targets


def to_gpytorch(state: State) -> ExactGP:
    """Return a gpytorch `ExactGP` in eval mode with a batch of heads, in the units of the outputs.

    Call it with embeddings [head, n, dim] or with one shared [n, dim]: `head_embeddings` makes them
    of those of the groups. `model(u)` is the noise-free function, `model.likelihood(model(u))` the
    prediction with the noise s2. A constant head gets a small variance in place of zero.
    """
    import gpytorch

    points, targets = pseudo_points(state)
    n_out = targets.shape[2]
    least = CONSTANT * state.offset.abs().clamp(min=1.0)
    scale = torch.where(state.scale > 0, state.scale, least)
    y = state.offset[:, None] + state.scale[:, None] * targets.mT.flatten(0, 1)
    batch = torch.Size([len(scale)])
    noise = scale.square() * state.noise.repeat_interleave(n_out)

    # without a transform the variances below are stored as they are
    positive = partial(gpytorch.constraints.GreaterThan, 1e-30, transform=None)
    likelihood = gpytorch.likelihoods.GaussianLikelihood(
        batch_shape=batch, noise_constraint=positive()
    )

    class Exported(gpytorch.models.ExactGP):
        """A linear kernel per head on its embeddings, with the prior mean of the head."""

        def __init__(self) -> None:
            super().__init__(points.repeat_interleave(n_out, 0), y, likelihood)
            self.mean_module = gpytorch.means.ConstantMean(batch_shape=batch)
            self.covar_module = gpytorch.kernels.LinearKernel(
                batch_shape=batch, variance_constraint=positive()
            )

        def forward(self, u: Tensor) -> Any:
            return gpytorch.distributions.MultivariateNormal(
                self.mean_module(u), self.covar_module(u)
            )

    model = Exported().double()
    model.mean_module.constant.data.copy_(state.offset)
    model.covar_module.raw_variance.data.copy_(scale.square()[:, None, None])
    likelihood.noise_covar.raw_noise.data.copy_(noise[:, None])
    return model.eval().requires_grad_(False)


def head_embeddings(
    state: State, u: Float64[Tensor, "n group dim"]
) -> Float64[Tensor, "head n dim"]:
    """Return each head's embeddings as `to_gpytorch`'s model takes them."""
    return u.double().transpose(0, 1).repeat_interleave(state.statistics.b.shape[2], 0)

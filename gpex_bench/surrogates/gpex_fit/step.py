"""The objective of a training step and its gradients in closed form, fused into one autograd function.

With P = A + s2 I, w = P^-1 b, z_i = P^-1 u_i, g_i = dL/dmu_i, h_i = dL/dvar_i and q = sum_i g_i
z_i, for queries u_i, new rows N with targets t and weights omega (see `refresh`), and residuals r =
t - N w, summed over a kernel's outputs:

    dL/du_i = g_i w + 2 s2 h_i z_i dL/dN   = omega [r q' - (N q) w' - 2 s2 N sum_i h_i z_i z_i']
    dL/ds2  = sum_i h_i u_i'z_i - s2 sum_i h_i |z_i|^2 - q'w   (+ sum_i h_i where s2 is the
    observation noise too)

Nothing has the size of the inducing points, no Cholesky factor is differentiated, and nothing waits
for the device: a matrix that is not positive definite makes the loss and all gradients NaN, so that
every later loss is NaN too, for the caller to see when it looks.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from gpex_bench.surrogates.gp.posterior import Statistics
from gpex_bench.surrogates.gpex_fit.refresh import Refresh, joined
from gpex_bench.types import value

Objective = Literal["predictive", "latent"]
# of the detached latent variance (released code of Akbarnejad et al. 2023)
FLOOR, CEILING = 1e-5, 5.0


@value
class Queries:
    """Inputs at which the processes are matched to the network."""

    u: Float[Tensor, "query group dim"]
    v: Float64[Tensor, "query group out"]  # standardised outputs of the network
    # variance of the observation noise; None: s2 of the group
    noise: Float[Tensor, "query group out"] | None = None


@value
class Rows:
    """Inducing points that were embedded anew."""

    index: Int[Tensor, "row"]
    u: Float[Tensor, "row group dim"]
    targets: Float64[Tensor, "row group out"]  # standardised outputs of the network


def step(
    refresh: Refresh,
    rows: Rows,
    queries: Queries,
    log_noise: Float64[Tensor, "group"],
    objective: Objective = "predictive",
) -> tuple[Float64[Tensor, ""], Statistics]:
    """Join the new rows with the others, and return the loss at the queries and the statistics it was computed with.

    The loss is the mean over queries and heads of ((v - mu)^2 / var + log var) / 2, in nats without
    a constant. "predictive": var is the latent variance plus the observation noise, and the
    gradient passes through it. "latent" (the paper): var is the latent variance alone, clamped to
    [1e-5, 5] and without gradient. Gradients reach queries.u, queries.noise, rows.u and log_noise.
    The policy keeps the rows and the statistics for the next step.
    """
    rest, weight = refresh.rest(rows.index, rows.targets)
    kept = refresh.rounded(rows.u.detach())
    given = _Given(
        kept=kept, targets=rows.targets, weight=weight, rest=rest, v=queries.v, objective=objective
    )
    loss, *sums = _Fused.apply(queries.u, rows.u, log_noise, queries.noise, given)
    statistics = Statistics(a=sums[0], b=sums[1], c=sums[2], count=sums[3])
    refresh.keep(rows.index, kept, statistics)
    return loss, statistics


@value
class _Given:
    """What no gradient goes to."""

    kept: Tensor  # the new rows as the policy rounds them
    targets: Tensor
    weight: Tensor
    rest: Statistics
    v: Tensor
    objective: Objective


class _Fused(torch.autograd.Function):
    """Loss and gradients in one pass."""

    @staticmethod
    def forward(  # noqa: PLR0913 - autograd functions take tensors one by one
        ctx: Any,
        u: Tensor,
        rows: Tensor,
        log_noise: Tensor,
        observation: Tensor | None,
        given: _Given,
    ) -> tuple[Tensor, ...]:
        """Return the loss and the statistics, and keep the gradients."""
        sums = joined(given.rest, given.weight, given.kept, given.targets)
        s2 = log_noise.double().exp()[:, None, None]
        rows_last = (
            tensor.double().permute(1, 2, 0) for tensor in (given.v, given.targets, u, given.kept)
        )
        v, t, points, new = (tensor.contiguous() for tensor in rows_last)
        eye = torch.eye(points.shape[1], dtype=s2.dtype, device=s2.device)
        lower, info = torch.linalg.cholesky_ex(sums.a + s2 * eye)
        inverse = torch.cholesky_inverse(
            lower
        )  # of a few dimensions: cheaper than two solves for every query
        w, z = inverse @ sums.b, inverse @ points

        error = w.mT @ points - v
        leverage = (points * z).sum(1, keepdim=True)
        if given.objective == "latent":
            variance, noise = (s2 * leverage).clamp(FLOOR, CEILING), None
        else:
            noise = s2 if observation is None else observation.double().permute(1, 2, 0)
            variance = s2 * leverage + noise
        loss = 0.5 * (error.square() / variance + variance.log()).mean()

        g = error / variance / error.numel()
        q = (g @ z.mT).mT
        d_u = w @ g
        d_rows = q @ (t - w.mT @ new) - w @ (q.mT @ new)
        d_s2 = -(q * w).sum((1, 2))
        d_noise = None
        if noise is not None:
            h = 0.5 * (1 / variance - (error / variance).square()) / error.numel()
            total = h.sum(1, keepdim=True)
            heavy = total * z
            outer = heavy @ z.mT
            d_u = d_u + 2 * s2 * heavy
            d_rows = d_rows - 2 * s2 * (outer @ new)
            trace = outer.diagonal(dim1=1, dim2=2).sum(1)
            d_s2 = d_s2 + (total * leverage).sum((1, 2)) - s2[:, 0, 0] * trace
            d_noise = h.permute(2, 0, 1)
            if observation is None:
                d_s2, d_noise = d_s2 + h.sum((1, 2)), None

        valid = torch.where(info.any(), torch.nan, 1.0).to(s2)
        d_u, d_rows, d_s2 = valid * d_u, valid * given.weight * d_rows, valid * d_s2
        d_noise = None if d_noise is None else valid * d_noise
        ctx.dtypes = [
            None if given is None else given.dtype for given in (u, rows, log_noise, observation)
        ]
        ctx.save_for_backward(
            d_u.permute(2, 0, 1), d_rows.permute(2, 0, 1), s2[:, 0, 0] * d_s2, d_noise
        )
        ctx.mark_non_differentiable(sums.a, sums.b, sums.c, sums.count)
        return valid * loss, sums.a, sums.b, sums.c, sums.count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients that were found on the way, times that of the loss."""
        scaled = (None if found is None else grad * found for found in ctx.saved_tensors)
        cast = (
            None if found is None or not needed else found.to(dtype)
            for found, needed, dtype in zip(scaled, ctx.needs_input_grad, ctx.dtypes, strict=False)
        )
        return *cast, None

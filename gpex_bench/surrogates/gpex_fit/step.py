"""The objective of a training step with its gradients in closed form, as one autograd function.

With P = A + s2 I, w = P^-1 b, z_i = P^-1 u_i, g_i = dL/dmu_i, h_i = dL/dvar_i, q = sum_i g_i z_i,
for queries u_i, new rows N with targets t and weights omega (see `refresh`), and residuals r = t -
N w, summed over a kernel's outputs:

    dL/du_i = g_i w + 2 s2 h_i z_i
    dL/dN   = omega [r q' - (N q) w' - 2 s2 N sum_i h_i z_i z_i']
    dL/ds2  = sum_i h_i u_i'z_i - s2 sum_i h_i |z_i|^2 - q'w
              (+ sum_i h_i where s2 is the observation noise too)

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
    """Inducing points with a new embedding."""

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
    """Join the new rows with the others; return the loss at the queries and the joined statistics.

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
    """The inputs of a step that get no gradient."""

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

        # rows last: [group, ..., row]
        v = _rows_last(given.v)
        t = _rows_last(given.targets)
        points = _rows_last(u)
        new = _rows_last(given.kept)

        inverse, valid = _inverse(sums.a, s2)
        w = inverse @ sums.b
        z = inverse @ points

        error = w.mT @ points - v
        leverage = (points * z).sum(1, keepdim=True)
        noise, variance = _variance(given.objective, s2, leverage, observation)
        loss = 0.5 * (error.square() / variance + variance.log()).mean()

        # gradients by the mean
        g = error / variance / error.numel()
        q = (g @ z.mT).mT
        d_u = w @ g
        d_rows = q @ (t - w.mT @ new) - w @ (q.mT @ new)
        d_s2 = -(q * w).sum((1, 2))

        # gradients by the variance
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
            if observation is None:
                d_s2 = d_s2 + h.sum((1, 2))
            else:
                d_noise = h.permute(2, 0, 1)

        d_u = valid * d_u
        d_rows = valid * given.weight * d_rows
        d_log_noise = s2[:, 0, 0] * (valid * d_s2)
        d_noise = None if d_noise is None else valid * d_noise

        inputs = (u, rows, log_noise, observation)
        ctx.dtypes = [None if tensor is None else tensor.dtype for tensor in inputs]
        ctx.save_for_backward(d_u.permute(2, 0, 1), d_rows.permute(2, 0, 1), d_log_noise, d_noise)
        ctx.mark_non_differentiable(sums.a, sums.b, sums.c, sums.count)
        return valid * loss, sums.a, sums.b, sums.c, sums.count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients that `forward` computed, times that of the loss."""
        gradients: list[Tensor | None] = []
        for found, is_needed, dtype in zip(
            ctx.saved_tensors, ctx.needs_input_grad, ctx.dtypes, strict=False
        ):
            if found is None or not is_needed:
                gradients.append(None)
            else:
                gradients.append((grad * found).to(dtype))
        return *gradients, None


def _variance(
    objective: Objective, s2: Tensor, leverage: Tensor, observation: Tensor | None
) -> tuple[Tensor | None, Tensor]:
    """Return the noise of the observations, or None without any, and the predictive variance."""
    if objective == "latent":
        return None, (s2 * leverage).clamp(FLOOR, CEILING)
    noise = s2 if observation is None else observation.double().permute(1, 2, 0)
    return noise, s2 * leverage + noise


def _inverse(a: Float64[Tensor, "group dim dim"], s2: Tensor) -> tuple[Tensor, Tensor]:
    """Return P^-1, and NaN instead of 1 where a P is not positive definite.

    Of a few dimensions the inverse is cheaper than two solves for every query.
    """
    eye = torch.eye(a.shape[-1], dtype=s2.dtype, device=s2.device)
    lower, info = torch.linalg.cholesky_ex(a + s2 * eye)
    valid = torch.where(info.any(), torch.nan, 1.0).to(s2)
    return torch.cholesky_inverse(lower), valid


def _rows_last(tensor: Float[Tensor, "row group number"]) -> Float64[Tensor, "group number row"]:
    """Return a contiguous copy in float64 with the rows last."""
    return tensor.double().permute(1, 2, 0).contiguous()

"""A Gaussian process per head with the kernel k(x, x') = u(x) . u(x'), solved in weight space.

The M inducing points enter only through A = U'U, b = U'v and c = v'v, so nothing here but the per-row explanations
grows with M. With P = A + s2 I and w = P^-1 b, the identity U'(UU' + s2 I)^-1 = P^-1 U' turns every textbook
formula into a solve with the small P: see `docs/gpex.md` for the notation and Rasmussen and Williams (2006),
chapters 2 and 5, for the textbook forms that the tests compare with.

Heads are a batch dimension. Solves are in float64. Targets v are standardised, v = (y - offset) / scale; means and
variances come back in the units of y.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gpex_bench.types import value

JITTER = 1e-10  # of the mean diagonal of P; far below any noise that can be told from zero in float64


@value
class Statistics:
    """What the inducing points leave behind: sums over their rows."""

    a: Float64[Tensor, "head dim dim"]
    b: Float64[Tensor, "head dim"]
    c: Float64[Tensor, "head"]
    count: Float64[Tensor, ""]


@value
class State:
    """A conditioned Gaussian process per head."""

    statistics: Statistics
    noise: Float64[Tensor, "head"]  # s2, in units of the standardised targets squared
    offset: Float64[Tensor, "head"]  # prior mean of y
    scale: Float64[Tensor, "head"]  # standard deviation of y; 0 for a head whose targets are constant


# --- targets and sums -----------------------------------------------------------------------------------------------


def target_units(y: Float[Tensor, "row head"]) -> tuple[Float64[Tensor, "head"], Float64[Tensor, "head"]]:
    """Return mean and standard deviation of each head's targets; a constant head has scale 0 and is legal."""
    if len(y) < 1:
        raise ValueError("y must have at least 1 row, got 0; pass the targets of the inducing points.")
    _check_finite("y", y)
    y = y.double()
    scale = y.std(0, correction=0)
    constant = scale <= 1e-7 * y.abs().amax(0)  # the spread that rounding to float32 alone can leave
    return torch.where(constant, y[0], y.mean(0)), torch.where(constant, torch.zeros_like(scale), scale)


def standardised(
    y: Float[Tensor, "row head"], offset: Float64[Tensor, "head"], scale: Float64[Tensor, "head"]
) -> Float64[Tensor, "row head"]:
    """Return (y - offset) / scale, and 0 where the scale is 0."""
    return torch.where(scale > 0, (y.double() - offset) / scale.where(scale > 0, 1.0), 0.0)


def statistics(u: Float[Tensor, "row head dim"], v: Float[Tensor, "row head"]) -> Statistics:
    """Sum over rows, in float64.

    Raises:
        ValueError: no row, rows and targets that do not fit, or an entry that is not finite.
    """
    if u.ndim != 3 or len(u) < 1:
        raise ValueError(f"u must be [row, head, dim] with at least 1 row, got shape {tuple(u.shape)}.")
    if v.shape != u.shape[:2]:
        raise ValueError(f"v must be [row, head] = {tuple(u.shape[:2])} like u, got shape {tuple(v.shape)}.")
    _check_finite("u", u)
    _check_finite("v", v)
    u, v = u.double(), v.double()
    return Statistics(
        a=torch.einsum("mhd,mhe->hde", u, u),
        b=torch.einsum("mhd,mh->hd", u, v),
        c=v.square().sum(0),
        count=torch.tensor(float(len(u)), dtype=torch.float64, device=u.device),
    )


def added(first: Statistics, second: Statistics, weight: float = 1.0) -> Statistics:
    """Return first + weight * second; a weight of -1 forgets rows."""
    return Statistics(
        a=first.a + weight * second.a,
        b=first.b + weight * second.b,
        c=first.c + weight * second.c,
        count=first.count + weight * second.count,
    )


def scaled(sums: Statistics, weight: float) -> Statistics:
    """Return weight * sums."""
    return Statistics(a=weight * sums.a, b=weight * sums.b, c=weight * sums.c, count=weight * sums.count)


def patched(
    sums: Statistics,
    old: Float[Tensor, "row head dim"],
    new: Float[Tensor, "row head dim"],
    v: Float[Tensor, "row head"],
) -> Statistics:
    """Replace rows: A - O'O + N'N and b + (N - O)'v. Each row must occur once, or it is subtracted twice."""
    return added(added(sums, statistics(old, v), -1.0), statistics(new, v))


def condition(
    sums: Statistics,
    noise: Float[Tensor, "head"],
    offset: Float[Tensor, "head"],
    scale: Float[Tensor, "head"],
) -> State:
    """Return the process conditioned on these rows.

    Raises:
        ValueError: a noise variance that is not positive and finite, or a negative scale.
    """
    for name, tensor in (("noise", noise), ("offset", offset), ("scale", scale)):
        if tensor.shape != sums.c.shape:
            raise ValueError(f"{name} must have one entry per head ({len(sums.c)}), got shape {tuple(tensor.shape)}.")
        _check_finite(name, tensor)
    if (noise <= 0).any():
        raise ValueError(f"noise must be a positive variance for every head, got {noise.min().item():g}.")
    if (scale < 0).any():
        raise ValueError(f"scale must be 0 (constant head) or positive, got {scale.min().item():g}.")
    return State(statistics=sums, noise=noise.double(), offset=offset.double(), scale=scale.double())


# --- posterior ------------------------------------------------------------------------------------------------------


def factor(state: State) -> Float64[Tensor, "head dim dim"]:
    """Return the lower Cholesky factor of P = A + s2 I, after one retry with a jitter if it must be.

    Raises:
        ValueError: P is not positive definite in float64, naming the heads.
    """
    a = state.statistics.a
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    p = a + state.noise[:, None, None] * eye
    lower, info = torch.linalg.cholesky_ex(p)
    if info.any():
        diagonal = p.diagonal(dim1=-2, dim2=-1).mean(-1)
        lower, info = torch.linalg.cholesky_ex(p + JITTER * diagonal[:, None, None] * eye)
    if info.any():
        heads = info.nonzero().flatten().tolist()
        raise ValueError(
            f"A + s2 I is not positive definite for heads {heads} (s2 = {state.noise[heads].tolist()}); the noise is "
            "too small for these embeddings, or the statistics do not belong to them."
        )
    return lower


def weights(state: State) -> Float64[Tensor, "head dim"]:
    """Return w = P^-1 b: the posterior mean is scale * u . w + offset."""
    return torch.cholesky_solve(state.statistics.b[..., None], factor(state))[..., 0]


def _whitened(state: State, u: Float[Tensor, "batch head dim"]) -> Float64[Tensor, "head dim batch"]:
    """Return L^-1 u with P = L L', so that inner products of columns are u' P^-1 u'."""
    return torch.linalg.solve_triangular(factor(state), u.double().permute(1, 2, 0), upper=False)


def predict(
    state: State, u: Float[Tensor, "batch head dim"]
) -> tuple[Float64[Tensor, "batch head"], Float64[Tensor, "batch head"]]:
    """Return posterior mean and latent variance from one factorisation; differentiable in the sums, s2 and u."""
    right = torch.cat([state.statistics.b[..., None], u.double().permute(1, 2, 0)], -1)
    white = torch.linalg.solve_triangular(factor(state), right, upper=False)
    read, points = white[..., :1], white[..., 1:]
    mu, leverage = (read * points).sum(1).T, points.square().sum(1).T
    return state.offset + state.scale * mu, state.scale.square() * state.noise * leverage


def mean(state: State, u: Float[Tensor, "batch head dim"]) -> Float64[Tensor, "batch head"]:
    """Return the posterior mean."""
    return state.offset + state.scale * torch.einsum("nhd,hd->nh", u.double(), weights(state))


def latent_variance(state: State, u: Float[Tensor, "batch head dim"]) -> Float64[Tensor, "batch head"]:
    """Return the variance of the noise-free function, s2 u' P^-1 u; a positive form, so nothing cancels."""
    leverage = _whitened(state, u).square().sum(1).T
    return state.scale.square() * state.noise * leverage


def predictive_variance(state: State, u: Float[Tensor, "batch head dim"]) -> Float64[Tensor, "batch head"]:
    """Return latent variance plus noise."""
    return latent_variance(state, u) + state.scale.square() * state.noise


def covariance(state: State, u: Float[Tensor, "batch head dim"]) -> Float64[Tensor, "head batch batch"]:
    """Return the joint covariance of the noise-free function at these points, s2 u' P^-1 u'."""
    white = _whitened(state, u)
    return (state.scale.square() * state.noise)[:, None, None] * (white.mT @ white)


def evidence(state: State) -> Float64[Tensor, "head"]:
    """Return the log marginal likelihood of the standardised targets, in nats.

    That of y itself is smaller by count * log(scale).
    """
    sums, dim = state.statistics, state.statistics.b.shape[-1]
    lower = factor(state)
    w = torch.cholesky_solve(sums.b[..., None], lower)[..., 0]
    misfit = (sums.c - (sums.b * w).sum(-1)) / state.noise
    log_det = 2 * lower.diagonal(dim1=-2, dim2=-1).log().sum(-1) + (sums.count - dim) * state.noise.log()
    return -0.5 * (misfit + log_det + sums.count * math.log(2 * math.pi))


# --- what single rows do --------------------------------------------------------------------------------------------


def leave_one_out(
    state: State, rows: Float[Tensor, "row head dim"], v: Float[Tensor, "row head"]
) -> tuple[Float64[Tensor, "row head"], Float64[Tensor, "row head"]]:
    """Return mean and latent variance at each inducing point, had it been left out."""
    fitted = torch.einsum("mhd,hd->mh", rows.double(), weights(state))
    h = _whitened(state, rows).square().sum(1).T
    left_out = (fitted - h * v) / (1 - h)
    return state.offset + state.scale * left_out, state.scale.square() * state.noise * h / (1 - h)


def dual(
    state: State, rows: Float[Tensor, "row head dim"], v: Float[Tensor, "row head"]
) -> Float64[Tensor, "row head"]:
    """Return the representer weights alpha = (v - U w) / s2, in units of the standardised targets."""
    return (v.double() - torch.einsum("mhd,hd->mh", rows.double(), weights(state))) / state.noise


def contribution(
    state: State,
    rows: Float[Tensor, "row head dim"],
    v: Float[Tensor, "row head"],
    u: Float[Tensor, "batch head dim"],
) -> Float64[Tensor, "batch head row"]:
    """Return alpha_m k(x, x_m) in the units of y: over the rows it sums to mean - offset."""
    alpha = state.scale * dual(state, rows, v)
    return torch.einsum("nhd,mhd->nhm", u.double(), rows.double()) * alpha.T


def deletion(
    state: State,
    rows: Float[Tensor, "row head dim"],
    v: Float[Tensor, "row head"],
    u: Float[Tensor, "batch head dim"],
) -> Float64[Tensor, "batch head row"]:
    """Return how the posterior mean changes when one inducing point is deleted (embeddings unchanged)."""
    white_rows, white = _whitened(state, rows), _whitened(state, u)
    h = white_rows.square().sum(1)
    residual = state.noise[:, None] * dual(state, rows, v).T
    effect = -state.scale[:, None] * residual / (1 - h)
    return (torch.einsum("hdn,hdm->hnm", white, white_rows) * effect[:, None]).permute(1, 0, 2)


def _check_finite(name: str, tensor: Tensor) -> None:
    """Raise ValueError naming the first row that is not finite."""
    bad = ~tensor.isfinite()
    if bad.any():
        where = bad.nonzero()[0].tolist()
        raise ValueError(
            f"{name} must be finite, got {tensor[tuple(where)].item()} at {where} ({int(bad.sum())} such)."
        )

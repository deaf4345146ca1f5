"""Gaussian processes with the kernel k(x, x') = u(x) . u(x'), solved in weight space.

The M inducing points enter only through A = U'U, b = U'v and c = v'v, so nothing here but what
single rows do grows with M. With P = A + s2 I and w = P^-1 b, the identity

    U'(UU' + s2 I)^-1 = P^-1 U'

turns every textbook formula into a solve with the small P. The package's docstring has the
notation; the textbook forms that the tests compare with are those of Rasmussen and Williams (2006),
chapters 2 and 5.

A *group* is a kernel with its `out` outputs, and the groups are a batch dimension: a kernel per
head is out = 1, a shared kernel is group = 1. Heads are numbered group by group, head = group * out
+ output (`grouped` folds them). Solves are in float64. Targets v are standardised, v = (y - offset)
/ scale; means and variances come back per head, in the units of y.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gpex_bench.types import demands, value

# of the mean diagonal of P; far below any noise that float64 can tell from zero
JITTER = 1e-10


@value
class Statistics:
    """Sums over the rows of the inducing points, which are all that a posterior needs of them."""

    a: Float64[Tensor, "group dim dim"]  # A = U'U
    b: Float64[Tensor, "group dim out"]  # b = U'v
    c: Float64[Tensor, "group out"]  # c = v'v
    count: Float64[Tensor, ""]  # M


@value
class State:
    """A conditioned Gaussian process per head; the heads of a group share kernel and noise."""

    statistics: Statistics
    noise: Float64[Tensor, "group"]  # s2, in units of the standardised targets squared
    offset: Float64[Tensor, "head"]  # prior mean of y
    # standard deviation of y; 0 for a head whose targets are constant
    scale: Float64[Tensor, "head"]


# --- targets and sums
# -----------------------------------------------------------------------------------------------


def target_units(
    y: Float[Tensor, "row head"],
) -> tuple[Float64[Tensor, "head"], Float64[Tensor, "head"]]:
    """Return mean and standard deviation of each head's targets.

    A constant head is allowed: its scale is 0.

    Raises:
        ValueError: no row, no head, or an output that is not finite.
    """
    if y.shape[0] < 1:
        raise ValueError(
            "y must have at least 1 row, got 0; pass the targets of the inducing points."
        )
    demands.has_heads(y)
    _check_finite("y", y)
    y = y.double()
    scale = y.std(0, correction=0)

    # the spread that rounding to float32 alone can leave
    is_constant = scale <= 1e-7 * y.abs().amax(0)
    offset = torch.where(is_constant, y[0], y.mean(0))
    return offset, torch.where(is_constant, torch.zeros_like(scale), scale)


def standardised(
    y: Float[Tensor, "row head"], offset: Float64[Tensor, "head"], scale: Float64[Tensor, "head"]
) -> Float64[Tensor, "row head"]:
    """Return (y - offset) / scale, and 0 where the scale is 0."""
    divisor = scale.where(scale > 0, 1.0)
    return torch.where(scale > 0, (y.double() - offset) / divisor, 0.0)


def grouped(per_head: Float[Tensor, "row head"], n_groups: int) -> Float[Tensor, "row group out"]:
    """Return numbers per head with the heads folded into groups.

    Raises:
        ValueError: the heads cannot be dealt out evenly.
    """
    if n_groups < 1 or per_head.shape[1] % n_groups:
        raise ValueError(
            f"n_groups must divide the {per_head.shape[1]} heads evenly, got {n_groups}."
        )
    return per_head.unflatten(1, (n_groups, -1))


def statistics(u: Float[Tensor, "row group dim"], v: Float[Tensor, "row group out"]) -> Statistics:
    """Sum over rows, in float64; differentiable.

    Raises:
        ValueError: no row, rows and targets that do not fit, or an entry that is not finite.
    """
    if u.ndim != 3 or len(u) < 1:
        raise ValueError(
            f"u must be [row, group, dim] with at least 1 row, got shape {tuple(u.shape)}."
        )
    if v.ndim != 3 or v.shape[:2] != u.shape[:2]:
        raise ValueError(
            f"v must be [row, group, out] with [{len(u)}, {u.shape[1]}, out], "
            f"got shape {tuple(v.shape)}."
        )
    _check_finite("u", u)
    _check_finite("v", v)

    u = u.double()
    v = v.double()
    return Statistics(
        a=torch.einsum("mgd,mge->gde", u, u),
        b=torch.einsum("mgd,mgo->gdo", u, v),
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


def condition(
    sums: Statistics,
    noise: Float[Tensor, "group"],
    offset: Float[Tensor, "head"],
    scale: Float[Tensor, "head"],
) -> State:
    """Return the process conditioned on these rows.

    Raises:
        ValueError: a noise variance that is not positive and finite, or a negative scale.
    """
    _check_entries("noise", noise, len(sums.c), "group")
    _check_entries("offset", offset, sums.c.numel(), "head")
    _check_entries("scale", scale, sums.c.numel(), "head")
    if (noise <= 0).any():
        raise ValueError(
            f"noise must be a positive variance for every group, got {noise.min().item():g}."
        )
    if (scale < 0).any():
        raise ValueError(
            f"scale must be 0 (constant head) or positive, got {scale.min().item():g}."
        )
    return State(
        statistics=sums, noise=noise.double(), offset=offset.double(), scale=scale.double()
    )


# --- posterior ---


def factor(state: State) -> Float64[Tensor, "group dim dim"]:
    """Return the lower Cholesky factor of P = A + s2 I; where it fails, retry once with a jitter.

    Raises:
        ValueError: P is not positive definite in float64, naming the groups.
    """
    a = state.statistics.a
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    p = a + state.noise[:, None, None] * eye

    lower, info = torch.linalg.cholesky_ex(p)
    if info.any():
        diagonal = p.diagonal(dim1=-2, dim2=-1).mean(-1)
        jitter = JITTER * diagonal[:, None, None] * eye
        lower, info = torch.linalg.cholesky_ex(p + jitter)

    if info.any():
        groups = info.nonzero().flatten().tolist()
        noise = state.noise[groups].tolist()
        raise ValueError(
            f"A + s2 I is not positive definite for groups {groups} (s2 = {noise}); the "
            "noise is too small for these embeddings, or the statistics do not belong to them."
        )
    return lower


def weights(state: State) -> Float64[Tensor, "group dim out"]:
    """Return w = P^-1 b: the posterior mean of v is u . w."""
    return torch.cholesky_solve(state.statistics.b, factor(state))


def whitened(
    lower: Float64[Tensor, "group dim dim"], u: Float[Tensor, "n group dim"]
) -> Float64[Tensor, "group dim n"]:
    """Return L^-1 u with P = L L', so that inner products of columns are u' P^-1 u'."""
    return torch.linalg.solve_triangular(lower, u.double().permute(1, 2, 0), upper=False)


def predict(
    state: State, u: Float[Tensor, "batch group dim"]
) -> tuple[Float64[Tensor, "batch head"], Float64[Tensor, "batch head"]]:
    """Return posterior mean and latent variance from one factorisation.

    Differentiable in the sums, s2 and u.
    """
    b = state.statistics.b
    n_out = b.shape[-1]

    # L^-1 [b, u]: inner products of its columns are b'P^-1 u and u'P^-1 u
    right = torch.cat([b, u.double().permute(1, 2, 0)], -1)
    white = torch.linalg.solve_triangular(factor(state), right, upper=False)
    white_b = white[..., :n_out]
    white_u = white[..., n_out:]

    v = torch.einsum("gdo,gdn->ngo", white_b, white_u)
    leverage = white_u.square().sum(1).T
    return _mean(state, v), _variance(state, leverage)


def mean(state: State, u: Float[Tensor, "batch group dim"]) -> Float64[Tensor, "batch head"]:
    """Return the posterior mean."""
    return _mean(state, torch.einsum("ngd,gdo->ngo", u.double(), weights(state)))


def covariance(
    state: State, u: Float[Tensor, "batch group dim"]
) -> Float64[Tensor, "head batch batch"]:
    """Return the joint covariance of the noise-free function at these points, s2 u' P^-1 u'."""
    white = whitened(factor(state), u)
    per_group = state.noise[:, None, None] * (white.mT @ white)
    per_head = per_group.repeat_interleave(_n_out(state), 0)
    return state.scale.square()[:, None, None] * per_head


def _mean(state: State, v: Float64[Tensor, "batch group out"]) -> Float64[Tensor, "batch head"]:
    """Return standardised means in the units of y."""
    return state.offset + state.scale * v.flatten(1)


def _variance(
    state: State, leverage: Float64[Tensor, "batch group"]
) -> Float64[Tensor, "batch head"]:
    """Return the variance s2 * leverage of each group's heads in the units of y."""
    per_head = (state.noise * leverage).repeat_interleave(_n_out(state), 1)
    return state.scale.square() * per_head


def _n_out(state: State) -> int:
    """Return how many heads share a kernel."""
    return int(state.statistics.b.shape[-1])


def _check_entries(name: str, tensor: Tensor, size: int, each: str) -> None:
    """Raise ValueError unless there is one finite entry for each group or head."""
    if tensor.shape != (size,):
        raise ValueError(
            f"{name} must have one entry per {each} ({size}), got shape {tuple(tensor.shape)}."
        )
    _check_finite(name, tensor)


def _check_finite(name: str, tensor: Tensor) -> None:
    """Raise ValueError naming the first entry that is not finite."""
    bad = ~tensor.isfinite()
    if bad.any():
        where = bad.nonzero()[0].tolist()
        entry = tensor[tuple(where)].item()
        raise ValueError(
            f"{name} must be finite, got {entry} at {where} ({int(bad.sum())} such entries)."
        )

"""What single inducing points do: weights, shares, leave-one-out, deletion.

`solved_and_rate` is the one place with the formula of a deletion. Every other function takes rows
and their standardised targets, all of them or a block. Formulas in `docs/gpex.md`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gpex_bench.surrogates.gp.posterior import State, factor, weights, whitened


def leave_one_out(
    state: State, rows: Float[Tensor, "row group dim"], v: Float[Tensor, "row group out"]
) -> tuple[Float64[Tensor, "row head"], Float64[Tensor, "row head"]]:
    """Return mean and latent variance at each inducing point, had it been left out."""
    fitted = torch.einsum("mgd,gdo->mgo", rows.double(), weights(state))
    h = whitened(factor(state), rows).square().sum(1).T[..., None]

    # of the standardised outputs; then in the units of y
    mean = (fitted - h * v) / (1 - h)
    variance = (state.noise[:, None] * h / (1 - h)).expand_as(mean)
    mean = state.offset + state.scale * mean.flatten(1)
    return mean, state.scale.square() * variance.flatten(1)


def dual(
    state: State, rows: Float[Tensor, "row group dim"], v: Float[Tensor, "row group out"]
) -> Float64[Tensor, "row group out"]:
    """Return the representer weights alpha = (v - U w) / s2, of the standardised targets."""
    fitted = torch.einsum("mgd,gdo->mgo", rows.double(), weights(state))
    return (v.double() - fitted) / state.noise[:, None]


def contribution(
    state: State,
    rows: Float[Tensor, "row group dim"],
    v: Float[Tensor, "row group out"],
    u: Float[Tensor, "batch group dim"],
) -> Float64[Tensor, "batch head row"]:
    """Return alpha_m k(x, x_m) in the units of y: over the rows it sums to mean - offset."""
    kernel = torch.einsum("ngd,mgd->ngm", u.double(), rows.double())
    shares = torch.einsum("ngm,mgo->ngom", kernel, dual(state, rows, v)).flatten(1, 2)
    return state.scale[:, None] * shares


def deletion(
    state: State,
    rows: Float[Tensor, "row group dim"],
    v: Float[Tensor, "row group out"],
    u: Float[Tensor, "batch group dim"],
) -> Float64[Tensor, "batch head row"]:
    """Return how the posterior mean changes when one inducing point alone is deleted.

    The embeddings are unchanged.
    """
    residual = state.noise[:, None] * dual(state, rows, v)
    by_group = rows.transpose(0, 1)
    solved, rate = solved_and_rate(factor(state), by_group, residual.transpose(0, 1))
    shift = torch.einsum("ngd,gmd,gmo->ngom", u.double(), solved, rate).flatten(1, 2)
    return state.scale[:, None] * shift


def solved_and_rate(
    lower: Float64[Tensor, "*group dim dim"],
    rows: Float[Tensor, "*group row dim"],
    residual: Float64[Tensor, "*group row out"],
) -> tuple[Float64[Tensor, "*group row dim"], Float64[Tensor, "*group row out"]]:
    """Return P^-1 u_m and -r_m / (1 - h_m); deleting row m alone moves w by their product.

    Args:
        lower: Cholesky factors of P.
        rows: the embeddings u_m that are deleted one at a time.
        residual: r_m = v_m - u_m . w, in units of the standardised targets.
    """
    rows = rows.double()
    solved = torch.cholesky_solve(rows.mT, lower).mT
    leverage = (rows * solved).sum(-1, keepdim=True)
    return solved, -residual / (1 - leverage)

"""What single inducing points do in a weight-space Gaussian process: weights, shares, leave-one-out, deletion.

Every function takes rows and their standardised targets, all of them or a block. Formulas in `docs/gpex.md`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gpex_bench.surrogates.posterior import State, factor, weights, whitened


def leave_one_out(
    state: State, rows: Float[Tensor, "row group dim"], v: Float[Tensor, "row group out"]
) -> tuple[Float64[Tensor, "row head"], Float64[Tensor, "row head"]]:
    """Return mean and latent variance at each inducing point, had it been left out."""
    fitted = torch.einsum("mgd,gdo->mgo", rows.double(), weights(state))
    h = whitened(factor(state), rows).square().sum(1).T[..., None]
    left_out = (fitted - h * v) / (1 - h)
    latent = (state.noise[:, None] * h / (1 - h)).expand_as(left_out)
    return state.offset + state.scale * left_out.flatten(1), state.scale.square() * latent.flatten(1)


def dual(
    state: State, rows: Float[Tensor, "row group dim"], v: Float[Tensor, "row group out"]
) -> Float64[Tensor, "row group out"]:
    """Return the representer weights alpha = (v - U w) / s2, in units of the standardised targets."""
    return (v.double() - torch.einsum("mgd,gdo->mgo", rows.double(), weights(state))) / state.noise[:, None]


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
    """Return how the posterior mean changes when one inducing point is deleted (embeddings unchanged)."""
    lower = factor(state)
    white_rows, white = whitened(lower, rows), whitened(lower, u)
    h = white_rows.square().sum(1).T[..., None]
    effect = -state.noise[:, None] * dual(state, rows, v) / (1 - h)
    shift = torch.einsum("gdn,gdm,mgo->ngom", white, white_rows, effect).flatten(1, 2)
    return state.scale[:, None] * shift

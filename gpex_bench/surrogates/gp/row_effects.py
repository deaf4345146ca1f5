"""What deleting a single inducing point does to a weight-space Gaussian process."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor


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

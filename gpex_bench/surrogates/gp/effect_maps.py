"""Where the effect of a training sample on a posterior mean comes from, in the query and in the training sample.

Deleting sample m moves the posterior mean at x by -u' P^-1 u_m r_m / (1 - h_m) (`row_effects`). The
bilinear form splits over the locations of u = sum_p u_p, and over those of u_m; residual and
leverage are factors. P^-1 weighs the directions of the kernel space by how little the data say
about them, so that these maps, unlike those of the similarity, differ between neighbours that point
in the same main direction.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench.surrogates.gp import posterior, row_effects
from gpex_bench.surrogates.gp.features import spread
from gpex_bench.surrogates.gp.weight_space import WeightSpaceSurrogate


def effect_maps(
    surrogate: WeightSpaceSurrogate,
    x: Float[Tensor, "1 channel height width"],
    neighbour: Float[Tensor, "k channel height width"],
    index: Int[Tensor, "k"],
    target: int,
) -> tuple[Float[Tensor, "k height width"], Float[Tensor, "k height width"]]:
    """Return what having each training sample adds to the target's mean at x, split over x and over the sample.

    Each map sums to minus the effect of deleting the sample, in units of the output.

    Args:
        surrogate: fitted.
        x: the query.
        neighbour: the inputs of the training samples.
        index: their rows in the training split.
        target: the head.

    Raises:
        ValueError: the embeddings do not split into locations, or a sample is no inducing point.
    """
    grid = surrogate.features.grid(x)
    if grid is None:
        raise ValueError(
            "effect_maps needs images and a feature map with locations; use deletion for the others."
        )
    state = surrogate.state
    group, output = divmod(target, state.statistics.c.shape[1])
    lower, w = posterior.factor(state)[group], posterior.weights(state)[group, :, output]
    on_x, on_neighbour = (
        surrogate(part, "locations")[:, group].double() for part in (x, neighbour)
    )
    place = surrogate.positions(index)
    rows = surrogate.decoded(place, group)
    residual = surrogate.targets[place, target] - rows @ w
    solved, moved = row_effects.solved_and_rate(lower, rows, residual[:, None])
    rate = -surrogate.scale[target] * moved[:, 0]  # of having the sample, not of deleting it
    read = torch.cholesky_solve(on_x[0].sum(-1, keepdim=True), lower)[:, 0]  # P^-1 u
    first = rate[:, None] * (solved @ on_x[0])
    second = rate[:, None] * torch.einsum("kdp,d->kp", on_neighbour, read)
    size = (x.shape[-2], x.shape[-1])
    return tuple(spread(terms.unflatten(-1, grid), size).to(x.dtype) for terms in (first, second))  # type: ignore[return-value]

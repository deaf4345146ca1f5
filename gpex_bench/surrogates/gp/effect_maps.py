"""Where the effect of a training sample on a posterior mean comes from, on both inputs.

Deleting sample m moves the posterior mean at x by -u' P^-1 u_m r_m / (1 - h_m) (`row_effects`). The
bilinear form splits over the locations of u = sum_p u_p, and over those of u_m; residual and
leverage are factors. P^-1 weighs the directions of the kernel space by how little the data
determine them, so that these maps, unlike those of the similarity, differ between neighbours that
point in the same main direction.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench.surrogates.gp import posterior, row_effects
from gpex_bench.surrogates.gp.conditioning import WeightSpaceSurrogate
from gpex_bench.surrogates.gp.features import spread


def effect_maps(
    surrogate: WeightSpaceSurrogate,
    x: Float[Tensor, "1 channel height width"],
    neighbour: Float[Tensor, "k channel height width"],
    index: Int[Tensor, "k"],
    target: int,
) -> tuple[Float[Tensor, "k height width"], Float[Tensor, "k height width"]]:
    """Return what having each training sample adds to the target's mean at x, as two maps.

    The first splits it over x, the second over the training sample.

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
            "effect_maps needs images and a feature map with locations; "
            "use deletion for the others."
        )
    state = surrogate.state
    group, output = divmod(target, state.statistics.c.shape[1])
    lower = posterior.factor(state)[group]
    w = posterior.weights(state)[group, :, output]

    places = surrogate(x, "locations")[:, group].double()
    neighbour_places = surrogate(neighbour, "locations")[:, group].double()

    point = surrogate.positions(index)
    rows = surrogate.decoded(point, group)
    residual = surrogate.targets[point, target] - rows @ w
    solved, rate = row_effects.solved_and_rate(lower, rows, residual[:, None])
    # minus: the effect of having the sample, not of deleting it
    rate = -surrogate.scale[target] * rate[:, 0]

    query = places[0].sum(-1, keepdim=True)
    solved_query = torch.cholesky_solve(query, lower)[:, 0]  # P^-1 u
    on_x = rate[:, None] * (solved @ places[0])
    on_neighbour = rate[:, None] * torch.einsum("kdp,d->kp", neighbour_places, solved_query)

    def enlarged(terms: Tensor) -> Tensor:
        size = (x.shape[-2], x.shape[-1])
        return spread(terms.unflatten(-1, grid), size).to(x.dtype)

    return enlarged(on_x), enlarged(on_neighbour)

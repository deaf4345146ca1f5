"""Explains inputs near a query again: what every robustness metric looks at."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.draws import uniform
from gpex_bench.measurements.maps import values
from gpex_bench.types import Case, Measurement, Query, settings, value


@value
class Neighbours:
    """Inputs near each query, their maps, and what the network says of them."""

    x: Float[Tensor, "batch draw *feature"]
    values: Float[Tensor, "batch draw *feature"]
    logits: Float[Tensor, "batch draw head"]


@settings
class Noisy(Measurement):
    """Maps of random neighbours in an L-infinity ball; each draw costs one more explanation.

    The target stays fixed and the explainer keeps its seed, so its own randomness does not count. A neighbour may leave
    the range of the data.

    Attributes:
        n_draws: neighbours per sample.
        radius: largest change of an input entry, in units of the input.
    """

    n_draws: int = 4
    radius: float = 0.02
    re_explains = True

    def __post_init__(self) -> None:
        if self.n_draws < 1:
            raise ValueError(f"n_draws must be at least 1, got {self.n_draws}.")
        if not 0 < self.radius < float("inf"):
            raise ValueError(f"radius must be positive and finite, got {self.radius}.")

    def neighbours(self, seed: int, query: Query) -> Float[Tensor, "draw batch *feature"]:
        """Return random inputs around each query."""
        n_entries = query.x[0].numel()
        draws = uniform("neighbours", seed, query.sample, self.n_draws * n_entries).to(query.x)
        noise = (2 * draws - 1).view(len(query.x), self.n_draws, *query.x.shape[1:]).transpose(0, 1)
        return query.x + self.radius * noise

    def measure(self, case: Case) -> Neighbours:
        """Return the neighbours of each query; raises ValueError for another kind of explanation."""
        near = self.neighbours(case.task.seed, case.query)
        maps, logits = [], []
        for x in near:
            query = Query(x=x.contiguous(), target=case.query.target, sample=case.query.sample)
            maps.append(values(case.explainer.explain(case.task, query)))
            with torch.no_grad():
                logits.append(case.task.model(query.x))
        return Neighbours(x=near.transpose(0, 1), values=torch.stack(maps, 1), logits=torch.stack(logits, 1))

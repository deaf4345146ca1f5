"""Adds noise to the strongest positions only, or to all others: what moves the network more?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.order import ties_broken
from gpex_bench.measurements.answers import OUTPUTS, answers
from gpex_bench.measurements.maps import relevance
from gpex_bench.types import Case, Measurement, settings, value
from gpex_bench.types.draws import uniform


@value
class Gaps:
    """Mean absolute changes of the target's probability."""

    important: Float[Tensor, "batch"]  # noise on the strongest positions
    unimportant: Float[Tensor, "batch"]  # noise on the others


@settings
class Jitter(Measurement):
    """Gaussian noise on the positions of the largest magnitudes, or the rest.

    2 * len(shares) * n_draws + 1 forward rows per sample.

    Attributes:
        shares: parts of the positions that are taken as the strongest, each in (0, 1); the gaps are means over them.
        n_draws: noises per sample.
        sigma: standard deviation of the noise, in units of the input.
    """

    shares: tuple = (
        0.1,
        0.25,
    )  # not tuple[float, ...]: checking that hint draws from Python's random state
    n_draws: int = 2
    sigma: float = 0.1

    def __post_init__(self) -> None:
        if not self.shares or not all(0 < share < 1 for share in self.shares):
            raise ValueError(f"shares must lie between 0 and 1, both excluded, got {self.shares}.")
        if self.n_draws < 1:
            raise ValueError(f"n_draws must be at least 1, got {self.n_draws}.")
        if not 0 < self.sigma < float("inf"):
            raise ValueError(f"sigma must be positive and finite, got {self.sigma}.")

    def measure(self, case: Case) -> Gaps:
        """Return the gaps of each sample; raises ValueError for another kind of explanation."""
        query, device = case.query, case.query.x.device
        size = relevance(case).abs()
        rank, n = ties_broken(size, query.sample), size.shape[1]
        top = torch.tensor(
            [min(max(1, round(share * n)), max(1, n - 1)) for share in self.shares], device=device
        )
        draws = uniform(
            "jitter", case.task.seed, query.sample, self.n_draws * query.x[0].numel()
        ).clamp(min=2.0**-54)
        noise = (
            (self.sigma * torch.special.ndtri(draws))
            .to(query.x)
            .view(-1, self.n_draws, *query.x.shape[1:])
        )

        def noisy(image: Tensor, number: Tensor) -> Tensor:
            x, kind = (
                query.x[image],
                number // self.n_draws,
            )  # the strongest by share, the rest by share, intact
            strongest = rank[image] < top[kind % len(top)][:, None]
            hit = torch.where(kind[:, None] < len(top), strongest, ~strongest) & (
                kind[:, None] < 2 * len(top)
            )
            shape = (len(x), 1, *x.shape[2:]) if x.ndim == 4 else x.shape
            return torch.where(hit.view(shape), x + noise[image, number % self.n_draws], x)

        found = answers(case, 2 * len(top) * self.n_draws + 1, noisy)[OUTPUTS.index("probability")]
        gap = (found[:, :-1] - found[:, -1:]).abs().view(len(rank), 2, -1).mean(2)
        return Gaps(important=gap[:, 0], unimportant=gap[:, 1])

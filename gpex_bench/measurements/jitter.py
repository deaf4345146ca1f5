"""Adds noise to the strongest positions only, or to all others: what moves the network more?"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gpex_bench.masking.fills import remove_positions
from gpex_bench.masking.order import ties_broken
from gpex_bench.masking.units import in_groups, units
from gpex_bench.measurements.answers import answers, output
from gpex_bench.measurements.maps import relevance
from gpex_bench.measurements.subsets import count_of
from gpex_bench.types import Case, Measurement, Metric, Need, demands, settings, value
from gpex_bench.types.demands import training
from gpex_bench.types.draws import uniform


@value
class Gaps:
    """Mean absolute changes of the target's probability."""

    important: Float[Tensor, "batch"]  # noise on the strongest positions
    unimportant: Float[Tensor, "batch"]  # noise on the others


@settings
class Jitter(Measurement):
    """Gaussian noise on the positions of the largest magnitudes, or the rest.

    A group of columns is replaced by that of a training sample instead: it has no small changes.

    2 * len(shares) * n_draws + 1 forward rows per sample.

    Attributes:
        shares: parts of the positions that are taken as the strongest, each in (0, 1); the gaps are
        means over them.
        n_draws: noises per sample.
        sigma: standard deviation of the noise, in units of the input.
    """

    shares: tuple[float, ...] = (0.1, 0.25)
    n_draws: int = 2
    sigma: float = 0.1

    def __post_init__(self) -> None:
        if not self.shares or not all(0 < share < 1 for share in self.shares):
            raise ValueError(f"shares must lie between 0 and 1, both excluded, got {self.shares}.")
        demands.at_least(self, 1, "n_draws")
        if not 0 < self.sigma < float("inf"):
            raise ValueError(f"sigma must be positive and finite, got {self.sigma}.")

    def measure(self, case: Case) -> Gaps:
        """Return the gaps of each sample; raises ValueError for another kind of explanation."""
        query = case.query
        size = relevance(case).abs()
        rank = ties_broken(size, query.sample)
        noise = self._noise(case)

        n_positions = size.shape[1]
        counts = [count_of(share, n_positions) for share in self.shares]
        top = torch.tensor(counts, device=query.x.device)
        n_shares = len(top)
        unit = units(case.task.data)

        # Inputs of a sample: noise on the strongest of each share, then on the rest of each share,
        # then none.
        def noisy(image: Tensor, number: Tensor) -> Tensor:
            x = query.x[image]
            kind = number // self.n_draws
            draw = number % self.n_draws
            count = top[kind % n_shares]
            is_strongest = rank[image] < count[:, None]

            on_strongest = (kind < n_shares)[:, None]
            has_noise = (kind < 2 * n_shares)[:, None]
            is_hit = torch.where(on_strongest, is_strongest, ~is_strongest)
            return remove_positions(x, x + noise[image, draw], is_hit & has_noise, unit)

        outputs = answers(case, 2 * n_shares * self.n_draws + 1, noisy)
        probability = output(outputs, "probability")
        intact = probability[:, -1:]
        change = (probability[:, :-1] - intact).abs()

        by_part = change.view(len(rank), 2, -1)
        important, unimportant = by_part.mean(2).unbind(1)
        return Gaps(important=important, unimportant=unimportant)

    def _noise(self, case: Case) -> Float[Tensor, "batch draw *feature"]:
        """Return the noise of each sample; it is the same for all choices of positions."""
        x = case.query.x
        n_numbers = self.n_draws * x[0].numel()
        draws = uniform("jitter", case.task.seed, case.query.sample, n_numbers)

        # ndtri(0) is infinite, and 2^-54 is below the smallest other number that is drawn.
        normal = torch.special.ndtri(draws.clamp(min=2.0**-54))
        noise = (self.sigma * normal).to(x)
        noise = noise.view(-1, self.n_draws, *x.shape[1:])

        # a group of columns gets the values of a training sample
        data = case.task.data
        if data.groups:
            rows = uniform("jitter of groups", case.task.seed, case.query.sample, self.n_draws)
            train = training(data, "a group of columns becomes that of one of them").x
            drawn = train[(rows * len(train)).long()].to(x)
            noise = torch.where(in_groups(data).to(x.device), drawn - x[:, None], noise)
        return noise


@settings
class JitterMetric(Metric):
    """Mean change of the probability under noise on some of the positions.

    Attributes:
        shares: parts of the positions that are taken as the strongest, each in (0, 1).
        n_draws: noises per sample.
        sigma: standard deviation of the noise, in units of the input.
    """

    reference = "agarwal2022openxai"
    measures = "faithfulness"
    range = (0.0, 1.0)
    margin = None  # gaps are a small part of the range
    chance = None
    caveat = "It reads the size of the relevance: a map and its negation score the same."
    needs = frozenset({Need.PROBABILITY})

    shares: tuple[float, ...] = (0.1, 0.25)
    n_draws: int = 2
    sigma: float = 0.1

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def measurements(self) -> tuple[Jitter]:
        """Return the noisy inputs, which `pgi` and `pgu` share."""
        return (Jitter(shares=tuple(self.shares), n_draws=self.n_draws, sigma=self.sigma),)

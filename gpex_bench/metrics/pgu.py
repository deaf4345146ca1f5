"""Prediction gap on unimportant features: noise on all but the strongest positions (agarwal2022openxai).

E|f(x) - f(x')| as in `pgi`, where x' has the noise on all other positions. Lower is better: what
the map calls unimportant should not move the network.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.jitter import Jitter
from gpex_bench.types import Case, Metric, settings


@settings
class PGU(Metric):
    """Mean change of the probability under noise on all but the strongest positions.

    Attributes:
        shares: parts of the positions that are taken as the strongest, each in (0, 1).
        n_draws: noises per sample.
        sigma: standard deviation of the noise, in units of the input.
    """

    title = "prediction gap on unimportant features"
    reference = "agarwal2022openxai"
    measures = "faithfulness"
    higher_is_better = False
    range = (0.0, 1.0)
    chance = None
    caveat = "It reads the size of the relevance: a map and its negation score the same."
    cost = "shared with `pgi`"

    shares: tuple[float, ...] = (0.1, 0.25)
    n_draws: int = 2
    sigma: float = 0.1

    def measurements(self) -> tuple[Jitter]:
        """Return the noisy inputs, which `pgi` shares."""
        return (Jitter(shares=tuple(self.shares), n_draws=self.n_draws, sigma=self.sigma),)

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the gap of each sample."""
        return case.read(self.measurements()[0]).unimportant

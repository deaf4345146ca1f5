"""Prediction gap on important features: noise on the strongest positions alone (agarwal2022openxai).

E|f(x) - f(x')|, where x' has Gaussian noise (sigma 0.1) on the positions of the largest |a|; mean
over the strongest 10 and 25 % (area over k = 1 ... 25 % in the paper, with 100 draws). f is the
target's probability (the first output in OpenXAI). Noise this small probes the slope around x:
where the softmax is saturated the gaps are tiny, but comparable.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.jitter import Jitter
from gpex_bench.types import Case, Metric, settings


@settings
class PGI(Metric):
    """Mean change of the probability under noise on the strongest positions.

    Attributes:
        shares: parts of the positions that are taken as the strongest, each in (0, 1).
        n_draws: noises per sample.
        sigma: standard deviation of the noise, in units of the input.
    """

    title = "prediction gap on important features"
    reference = "agarwal2022openxai"
    measures = "faithfulness"
    higher_is_better = True
    range = (0.0, 1.0)
    chance = None
    caveat = "It reads the size of the relevance: a map and its negation score the same."
    cost = "4 x `n_draws` + 1 forward rows per sample for two shares, shared with `pgu`"

    shares: tuple[float, ...] = (0.1, 0.25)
    n_draws: int = 2
    sigma: float = 0.1

    def measurements(self) -> tuple[Jitter]:
        """Return the noisy inputs, which `pgu` shares."""
        return (Jitter(shares=tuple(self.shares), n_draws=self.n_draws, sigma=self.sigma),)

    def __post_init__(self) -> None:
        self.measurements()  # checks the settings

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the gap of each sample."""
        return case.read(self.measurements()[0]).important

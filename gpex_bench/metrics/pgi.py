"""Prediction gap on important features: noise on the strongest positions alone.

Source: agarwal2022openxai. E|f(x) - f(x')|, where x' has Gaussian noise (sigma 0.1) on the
positions of the largest |a|; mean over the strongest 10 and 25 % (area over k = 1 ... 25 % in the
paper, with 100 draws). f is the target's probability (the first output in OpenXAI). Noise this
small probes the slope around x: where the softmax is saturated the gaps are tiny, but comparable.
The default of 2 draws is cheap and noisy; `config/sets/thorough.yaml` has settings to publish.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.jitter import JitterMetric
from gpex_bench.types import Case, settings


@settings
class PGI(JitterMetric):
    """Mean change of the probability under noise on the strongest positions."""

    title = "prediction gap on important features"
    higher_is_better = True
    cost = "4 x `n_draws` + 1 forward rows per sample for two shares, shared with `pgu`"

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the gap of each sample."""
        return case.read(self.measurements()[0]).important

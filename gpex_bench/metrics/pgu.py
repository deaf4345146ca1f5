"""Prediction gap on unimportant features: noise on all but the strongest positions.

Source: agarwal2022openxai. E|f(x) - f(x')| as in `pgi`, where x' has the noise on all other
positions. Lower is better: what the map calls unimportant should not move the network. The
defaults are as cheap as those of `pgi`.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.jitter import JitterMetric
from gpex_bench.types import Case, settings


@settings
class PGU(JitterMetric):
    """Mean change of the probability under noise on all but the strongest positions."""

    title = "prediction gap on unimportant features"
    higher_is_better = False
    cost = "shared with `pgi`"

    def score(self, case: Case) -> Float[Tensor, "batch"]:
        """Return the gap of each sample."""
        return case.read(self.measurements()[0]).unimportant

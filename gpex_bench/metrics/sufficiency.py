"""Sufficiency: how far the probability falls when only the most relevant few per cent are kept.

Source: deyoung2020eraser. Mean over q = 1, 5, 10, 20, 50 % of f(x) - f(only the top q), each share
rounded up to whole positions. What is not kept becomes the dataset's baseline. Not the metric of
that name in Quantus, which asks how often inputs with near maps get the same prediction.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.erased import Erased, FallMetric
from gpex_bench.types import settings


@settings
class Sufficiency(FallMetric):
    """Fall of the probability when only the most relevant positions are kept (mean, 1 to 50 %)."""

    title = "sufficiency"
    reference = "deyoung2020eraser"
    higher_is_better = False

    def left(self, erased: Erased) -> Float[Tensor, "output batch share"]:
        """Return the outputs with the most relevant positions alone."""
        return erased.alone

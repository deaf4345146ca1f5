"""Comprehensiveness: how far the probability falls without the most relevant few per cent.

Source: deyoung2020eraser. Mean over q = 1, 5, 10, 20, 50 % of f(x) - f(x without the top q), each
share rounded up to whole positions (a table of 20 columns loses one column at 1 and 5 %). What is
removed becomes the dataset's baseline, since an input of fixed size cannot lose a token.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gpex_bench.measurements.erased import Erased, FallMetric
from gpex_bench.types import settings


@settings
class Comprehensiveness(FallMetric):
    """Fall of the probability without the most relevant positions, mean over 1 to 50 % of them."""

    title = "comprehensiveness"
    reference = "deyoung2020eraser"
    higher_is_better = True

    def left(self, erased: Erased) -> Float[Tensor, "output batch share"]:
        """Return the outputs without the most relevant positions."""
        return erased.without

"""Absolute: the size of each value of another explainer's map, without its sign.

The gradient's size as a map: Simonyan, Vedaldi, Zisserman 2014 (simonyan2014deep); this does it to
any explainer.
"""

from torch import Tensor

from gpex_bench.families.wrapper import Wrapper
from gpex_bench.types import settings


@settings
class Absolute(Wrapper):
    """Absolute value of another explainer's attribution."""

    reference = "simonyan2014deep"
    cost = "that of the other"

    def change(self, values: Tensor) -> Tensor:
        """Return the sizes."""
        return values.abs()

"""Squared: the square of each value of another explainer's map, which drops the sign.

Sensitivity analysis squares the gradient (montavon2018methods); this does it to any explainer.
"""

from torch import Tensor

from gpex_bench.families.wrapper import Wrapper
from gpex_bench.types import settings


@settings
class Squared(Wrapper):
    """Square of another explainer's attribution."""

    reference = "montavon2018methods"
    cost = "that of the other"

    def change(self, values: Tensor) -> Tensor:
        """Return the squares."""
        return values.square()

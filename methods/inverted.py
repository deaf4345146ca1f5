"""Inverted: another explainer's map with its sign flipped, which good explainers must beat.

Comparing with the inverse is more informative than comparing with a random map: Eiras-Franco,
Hedstroem, Hoehne 2025 (eirasfranco2025evaluate).
"""

from torch import Tensor

from gpex_bench.families.wrapper import Wrapper
from gpex_bench.types import Role, settings


@settings
class Inverted(Wrapper):
    """Minus the attribution of another explainer."""

    reference = "eirasfranco2025evaluate"
    kind = "control"
    role = Role.INVERTED
    cost = "that of the other explainer"

    def change(self, values: Tensor) -> Tensor:
        """Return the map with its sign flipped."""
        return -values

"""Channel-summed: a pixel's relevance summed over its channels, spread evenly over them.

Montavon, Samek, Mueller 2018 (montavon2018methods) pool relevance over the channels of a pixel; a
wrapper keeps the shape of the input. The sum of the map stays.
"""

from torch import Tensor

from gpex_bench.families.wrapper import Wrapper
from gpex_bench.types import Need, settings


@settings
class ChannelSummed(Wrapper):
    """Another explainer's attribution, the same for all channels of a pixel."""

    reference = "montavon2018methods"
    asks = frozenset({Need.IMAGE})
    keeps_sum = True
    cost = "that of the other explainer"

    def change(self, values: Tensor) -> Tensor:
        """Return the mean over the channels, for every channel."""
        return values.mean(1, keepdim=True).expand_as(values).clone()

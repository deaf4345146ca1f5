"""The error of a network that cannot be rewritten."""

from gpex_bench.types.demands import Refused


class CannotRewrite(Refused):
    """What a network does cannot be written as a graph of modules; the place is named."""

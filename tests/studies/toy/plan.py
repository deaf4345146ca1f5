"""The settings of the toy study: the section `toy` of a config."""

from gpex_bench.types import Study, settings


@settings
class Toy(Study):
    """What counts as accurate."""

    question = "How accurate are the networks?"
    reference = "hooker2019benchmark"
    has_report = False

    # test accuracy from which on a network counts as good
    good: float = 0.9

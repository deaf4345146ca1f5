"""The settings of the study on metrics: the section `metric_trust` of a config."""

from __future__ import annotations

from typing import Any, Literal

from gpex_bench.types import Need, Study, demands, settings, value

Space = Literal["network", "input"]
Strength = Literal["minor", "disruptive"]
STRENGTHS: tuple[Strength, ...] = ("minor", "disruptive")


@value
class Perturbation:
    """One perturbation of a network or of its inputs."""

    space: Space
    strength: Strength
    size: float
    # another number gives another perturbation of the same kind
    number: int


@settings
class Sizes:
    """How large a perturbation is: one that should not matter, and one that should."""

    minor: float
    disruptive: float

    def __post_init__(self) -> None:
        """Refuse sizes that are not positive, or not ordered."""
        if not 0 < self.minor < self.disruptive:
            raise ValueError(
                f"minor and disruptive must be positive, and minor the smaller one, "
                f"got {self.minor} and {self.disruptive}."
            )


@settings
class MetricTrust(Study):
    """How many perturbations of each kind, and how large; the default sizes are the authors'."""

    question = "Which metrics can be trusted?"
    reference = "hedstroem2023meta"
    asks = frozenset({Need.CLASSES, Need.OUTPUTS})
    needs = frozenset({"methods", "metrics"})
    asks_again = True
    has_report = False

    # perturbations of each space and strength
    perturbations: int = 2
    # standard deviation of the factors of the weights, whose mean is 1
    network: Sizes = Sizes(minor=0.001, disruptive=2.0)
    # half the width of the uniform noise, in units of the input
    input: Sizes = Sizes(minor=0.001, disruptive=5.0)

    def __post_init__(self) -> None:
        """Refuse a study without perturbations."""
        demands.at_least(self, 1, "perturbations")

    def each(self) -> list[Perturbation]:
        """Return every perturbation: the network's first, minor ones first."""
        sizes: tuple[tuple[Space, Sizes], ...] = (("network", self.network), ("input", self.input))
        return [
            Perturbation(
                space=space, strength=strength, size=getattr(size, strength), number=number
            )
            for space, size in sizes
            for strength in STRENGTHS
            for number in range(self.perturbations)
        ]

    def check(self, config: Any) -> None:
        """Check that every method does without a surrogate, and that some metric fits all methods.

        Raises:
            ValueError: names the method or the network.
        """
        for name in config.entries["method"]:
            method = config.method(name)
            if method is None or method.surrogate is not None:
                problem = "cannot be used" if method is None else f"needs {method.surrogate}"
                raise ValueError(
                    "methods must be usable and do without a surrogate, which is fitted to the "
                    f"network before it is perturbed; {name} {problem}, leave it out."
                )
        for network in config.networks:
            if not methods_on(config, network) or not metrics_on(config, network):
                raise ValueError(
                    f"{network.model} on {network.dataset} must have a method that applies and a "
                    "metric that applies to all of them; add one, or leave the network out."
                )


def methods_on(config: Any, network: Any) -> list[str]:
    """Return the run ids of the methods that apply to a network."""
    return [
        name for name in config.entries["method"] if config.not_applicable(network, name) is None
    ]


def metrics_on(config: Any, network: Any) -> list[str]:
    """Return the run ids of the metrics that apply to every method on a network."""
    methods = methods_on(config, network)
    return [
        metric
        for metric in sorted(config.entries["metric"])
        if all(config.skipped(network, method, metric) is None for method in methods)
    ]

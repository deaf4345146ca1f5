"""The settings of the budget study: the section `budget` of a config."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from gpex_bench.types import Explainer, Study, settings

OWN_COST = 0  # stands in the column `budget` of a method that runs as it is configured


@settings
class Budget(Study):
    """Which budgets are tried, what they are held against, and how often a method is repeated."""

    question = "How many evaluations of the network does each explainer need?"
    reference = "ribeiro2016why"
    needs = frozenset({"methods", "metrics"})
    has_report = False

    budgets: tuple[int, ...] = (
        32,
        64,
        125,
        250,
        500,
        1000,
        2000,
    )  # forward rows per sample, ascending
    most: dict[str, int] = field(
        default_factory=dict
    )  # run id of a method or a network → its largest budget
    own_cost: tuple[str, ...] = ()  # methods that have a budget and run as they are configured
    reference_method: str = "lime"  # run id of the method whose faithfulness is to be reached
    reference_budget: int = 1000  # its forward rows per sample
    tolerance: float = 0.05  # share of the reference's mean score that may be missing
    stability_budget: int = 250  # forward rows per sample of the repetitions
    stability_seeds: int = 30  # how many explainer seeds
    stability_samples: int = 8  # the first of the explained samples
    top: float = 0.1  # share of the positions whose overlap is measured

    def __post_init__(self) -> None:
        """Refuse plans without an answer."""
        if (
            not self.budgets
            or list(self.budgets) != sorted(set(self.budgets))
            or self.budgets[0] < 1
        ):
            raise ValueError(
                f"budgets must be ascending numbers of rows from 1 up, got {list(self.budgets)}."
            )
        if self.reference_budget not in self.budgets:
            known = ", ".join(map(str, self.budgets))
            raise ValueError(
                f"reference_budget must be one of the budgets {known}, got {self.reference_budget}."
            )
        for name, fewest in (
            ("stability_budget", 1),
            ("stability_seeds", 2),
            ("stability_samples", 2),
        ):
            if getattr(self, name) < fewest:
                raise ValueError(f"{name} must be at least {fewest}, got {getattr(self, name)}.")
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance must be a share in [0, 1), got {self.tolerance}.")
        if not 0 < self.top < 1:
            raise ValueError(f"top must be a share between 0 and 1, got {self.top}.")

    def check(self, config: Any) -> None:
        """Check the plan against the methods and networks of a config."""
        methods = {name: entry.settings for name, entry in config.entries["method"].items()}
        self.check_names(methods, set(config.entries["model"]))

    def check_names(self, methods: dict[str, Explainer | None], networks: set[str]) -> None:
        """Raise ValueError if the plan names a method or a network that is not there, or one that cannot be measured.

        Args:
            methods: explainers by run id; None is one whose plug-in cannot be used.
            networks: run ids of the networks.
        """
        for name, known in (
            ("reference_method", {self.reference_method}),
            ("own_cost", set(self.own_cost)),
        ):
            if strange := sorted(known - set(methods)):
                raise ValueError(
                    f"{name} must be run ids of methods ({', '.join(sorted(methods))}), got {strange[0]!r}."
                )
        if strange := sorted(set(self.most) - set(methods) - networks):
            raise ValueError(f"most must name methods or networks by run id, got {strange[0]!r}.")
        if (
            not hasattr(methods[self.reference_method], "budget")
            or self.reference_method in self.own_cost
        ):
            raise ValueError(
                f"reference_method must be a method with a budget, got {self.reference_method!r}."
            )
        for name, method in methods.items():
            if method is not None and method.surrogate is not None:
                raise ValueError(
                    f"methods must do without a surrogate in a budget study; {name} needs one, leave it out."
                )

    def budgets_of(self, name: str, explainer: Explainer, network: str) -> tuple[int, ...]:
        """Return the budgets of a method on a network: OWN_COST alone if it has none, or is to run as configured."""
        if not hasattr(explainer, "budget") or name in self.own_cost:
            return (OWN_COST,)
        limit = min(self.most.get(key, self.budgets[-1]) for key in (name, network))
        return tuple(budget for budget in self.budgets if budget <= limit)

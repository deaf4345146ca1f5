"""The settings of the budget study: the section `budget` of a config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from gpex_bench.types import Explainer, Study, demands, settings

# the column `budget` of a method that runs as it is configured
OWN_COST = 0


@settings
class Budget(Study):
    """Which budgets are tried, what they are compared with, and how often a method is repeated."""

    question = "How many evaluations of the network does each explainer need?"
    reference = "ribeiro2016why"
    needs = frozenset({"methods", "metrics"})
    asks_again = True
    has_report = False

    # forward rows per sample, ascending
    budgets: tuple[int, ...] = (32, 64, 125, 250, 500, 1000, 2000)
    # the largest budget of a method or a network, by run id
    most: dict[str, int] = field(default_factory=dict)
    # methods that have a budget and run as they are configured
    own_cost: tuple[str, ...] = ()

    # run id of the method whose faithfulness is to be reached, and its forward rows per sample
    reference_method: str = "lime"
    reference_budget: int = 1000
    # share of the reference's mean score that may be missing
    tolerance: float = 0.05

    # repetitions: forward rows per sample, explainer seeds, and the first of the explained samples
    stability_budget: int = 250
    stability_seeds: int = 30
    stability_samples: int = 8
    # share of the positions whose overlap is measured
    top: float = 0.1

    def __post_init__(self) -> None:
        """Refuse plans without an answer."""
        is_ascending = list(self.budgets) == sorted(set(self.budgets))
        if not self.budgets or not is_ascending or self.budgets[0] < 1:
            raise ValueError(
                f"budgets must be ascending numbers of rows from 1 up, got {list(self.budgets)}."
            )
        if self.reference_budget not in self.budgets:
            known = ", ".join(map(str, self.budgets))
            raise ValueError(
                f"reference_budget must be one of the budgets {known}, got {self.reference_budget}."
            )
        demands.at_least(self, 1, "stability_budget")
        demands.at_least(self, 2, "stability_seeds", "stability_samples")
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance must be a share in [0, 1), got {self.tolerance}.")
        if not 0 < self.top < 1:
            raise ValueError(f"top must be a share between 0 and 1, got {self.top}.")

    def check(self, config: Any) -> None:
        """Check the plan against the methods and networks of a config."""
        methods = {name: entry.settings for name, entry in config.entries["method"].items()}
        self._check_names(methods, set(config.entries["model"]))
        self._check_methods(methods)

    def _check_names(self, methods: Mapping[str, Explainer | None], networks: set[str]) -> None:
        """Raise ValueError if the plan names a method or a network that is not there."""
        names = {"reference_method": {self.reference_method}, "own_cost": set(self.own_cost)}
        for key, named in names.items():
            for name in sorted(named - set(methods)):
                known = ", ".join(sorted(methods))
                raise ValueError(f"{key} must be run ids of methods ({known}), got {name!r}.")

        for name in sorted(set(self.most) - set(methods) - networks):
            raise ValueError(f"most must name methods or networks by run id, got {name!r}.")

        # the reference runs at its budget on every network
        for name in sorted(set(self.most) & (networks | {self.reference_method})):
            if self.most[name] < self.reference_budget:
                raise ValueError(
                    f"most.{name} must be at least reference_budget = {self.reference_budget}, "
                    f"got {self.most[name]}."
                )

    def _check_methods(self, methods: Mapping[str, Explainer | None]) -> None:
        """Raise ValueError if a method cannot be measured; None is one that cannot be used."""
        has_budget = hasattr(methods[self.reference_method], "budget")
        if not has_budget or self.reference_method in self.own_cost:
            raise ValueError(
                "reference_method must be a method with a budget that is not in own_cost, got "
                f"{self.reference_method!r}."
            )
        for name, method in methods.items():
            if method is not None and method.surrogate is not None:
                raise ValueError(
                    f"methods must do without a surrogate in a budget study; {name} needs one, "
                    "leave it out."
                )

    def budgets_of(self, name: str, explainer: Explainer, network: str) -> tuple[int, ...]:
        """Return the budgets of a method on a network.

        OWN_COST alone if the method has no budget, or is to run as it is configured.
        """
        if not hasattr(explainer, "budget") or name in self.own_cost:
            return (OWN_COST,)

        largest = self.budgets[-1]
        limit = min(self.most.get(name, largest), self.most.get(network, largest))
        return tuple(budget for budget in self.budgets if budget <= limit)

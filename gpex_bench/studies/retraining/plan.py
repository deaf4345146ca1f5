"""The settings of the retraining study: the section `retraining` of a config."""

from __future__ import annotations

from typing import Any

from gpex_bench.types import Attribution, Explainer, Need, Study, demands, settings


@settings
class Retraining(Study):
    """How much is removed before networks are trained again, on how many samples."""

    question = "Which explainer points at what a network needs?"
    reference = "hooker2019benchmark"
    trains = True
    asks = frozenset({Need.CLASSES})
    needs = frozenset({"methods"})
    asks_again = True
    refuses = frozenset({"metrics"})
    has_report = False

    # of the positions of every input, ascending
    shares: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    # the first of each split, in its fixed random order; all, if there are fewer
    train_samples: int = 1000
    test_samples: int = 500
    # the first of the test samples: their maps are compared between networks
    map_samples: int = 100
    # training accuracy on permuted labels that is trained for
    fitted: float = 0.95
    # at most so many times as many epochs as the network's own training has
    longest: int = 8
    # run id of the method that is random removal
    chance: str = "random_map"

    def __post_init__(self) -> None:
        """Refuse plans without an answer."""
        shares = list(self.shares)
        is_ascending = shares == sorted(set(shares))
        if not shares or not is_ascending:
            raise ValueError(f"shares must be ascending, got {shares}.")

        if shares[0] <= 0 or shares[-1] >= 1:
            raise ValueError(f"shares must be between 0 and 1, got {shares}.")

        demands.at_least(self, 1, "train_samples", "test_samples", "map_samples", "longest")
        if not 0 < self.fitted <= 1:
            raise ValueError(f"fitted must be an accuracy in (0, 1], got {self.fitted}.")

    @property
    def mask_share(self) -> float:
        """Return the share at which networks are trained on the masks alone: the middle one."""
        return self.shares[len(self.shares) // 2]

    def check(self, config: Any) -> None:
        """Check the plan against the methods of a config."""
        entries = config.entries["method"]
        self.check_methods({name: entry.settings for name, entry in entries.items()})

    def check_methods(self, methods: dict[str, Explainer | None]) -> None:
        """Raise ValueError if chance is no method, or if a method cannot explain another network.

        Args:
            methods: explainers by run id; None is one whose plug-in cannot be used.
        """
        if self.chance not in methods:
            known = ", ".join(methods)
            raise ValueError(
                f"chance must be the run id of a method ({known}), got {self.chance!r}."
            )

        for name, method in methods.items():
            if method is None:
                raise ValueError(f"{name} cannot be used; correct it or leave it out.")
            if method.surrogate is not None or not issubclass(method.explains, Attribution):
                raise ValueError(
                    f"methods must give attributions without a surrogate here; leave {name} out."
                )

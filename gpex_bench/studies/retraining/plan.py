"""The settings of the retraining study: the section `retraining` of a config."""

from __future__ import annotations

from typing import Any

from gpex_bench.types import Attribution, Explainer, Study, settings


@settings
class Retraining(Study):
    """How much is removed before networks are trained again, on how many samples, and what chance is."""

    question = "Which explainer points at what a network needs?"
    reference = "hooker2019benchmark"
    needs = frozenset({"methods"})
    refuses = frozenset({"metrics"})
    has_report = False

    shares: tuple[float, ...] = (
        0.1,
        0.3,
        0.5,
        0.7,
        0.9,
    )  # of the positions of every input, ascending
    train_samples: int = (
        1000  # the first of the training split, in its fixed random order; all, if there are fewer
    )
    test_samples: int = 500  # likewise
    map_samples: int = (
        100  # the first of the test samples: their maps are compared between networks
    )
    fitted: float = 0.95  # training accuracy on permuted labels that is trained for
    longest: int = 8  # at most so many times as many epochs as the network's own training has
    chance: str = "random_map"  # run id of the method that stands for random removal

    def __post_init__(self) -> None:
        """Refuse plans without an answer."""
        if not self.shares or list(self.shares) != sorted(set(self.shares)):
            raise ValueError(f"shares must be ascending, got {list(self.shares)}.")
        if not 0 < self.shares[0] <= self.shares[-1] < 1:
            raise ValueError(f"shares must be between 0 and 1, got {list(self.shares)}.")
        for name in ("train_samples", "test_samples", "map_samples", "longest"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 < self.fitted <= 1:
            raise ValueError(f"fitted must be an accuracy in (0, 1], got {self.fitted}.")

    @property
    def mask_share(self) -> float:
        """Return the share at which networks are trained on the masks alone: the middle one."""
        return self.shares[len(self.shares) // 2]

    def check(self, config: Any) -> None:
        """Check the plan against the methods of a config."""
        self.check_methods(
            {name: entry.settings for name, entry in config.entries["method"].items()}
        )

    def check_methods(self, methods: dict[str, Explainer | None]) -> None:
        """Raise ValueError if chance is no method, or if a method cannot be asked about another network.

        Args:
            methods: explainers by run id; None is one whose plug-in cannot be used.
        """
        if self.chance not in methods:
            raise ValueError(
                f"chance must be the run id of a method ({', '.join(methods)}), got {self.chance!r}."
            )
        for name, method in methods.items():
            if method is None:
                raise ValueError(f"{name} cannot be used; mend it or leave it out.")
            if method.surrogate is not None or not issubclass(method.explains, Attribution):
                raise ValueError(
                    f"methods must give attributions without a surrogate here; leave {name} out."
                )

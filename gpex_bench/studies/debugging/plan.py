"""The settings of the experiment: the section `debugging` of a config."""

from __future__ import annotations

from typing import Any

from gpex_bench.config.resolve import ConfigError
from gpex_bench.studies.debugging.labels import check_share
from gpex_bench.types import Study, settings

RANKINGS = ("embedding", "representer", "influence", "random")  # functions in `rankings`


@settings
class Debugging(Study):
    """How much is spoilt, how much is shown, and what decides what is shown first."""

    question = "Which training samples, shown and corrected first, help most against wrong labels?"
    reference = "akbarnejad2023gpex"

    classes: tuple[str, str]  # the two classes of the dataset whose labels are swapped
    flipped: float = (
        0.45  # share of the training labels of each class that is swapped (paper: 0.45)
    )
    per_round: int = 60  # training samples shown between two trainings
    rounds: int = 5
    rankings: tuple[str, ...] = RANKINGS  # beside the neighbours of each surrogate

    def __post_init__(self) -> None:
        for name in ("per_round", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        check_share(self.flipped)
        if strange := [name for name in self.rankings if name not in RANKINGS]:
            raise ValueError(f"rankings must be among {', '.join(RANKINGS)}, got {strange[0]!r}.")

    def check(self, config: Any) -> None:
        """Refuse surrogates whose run id is that of a ranking: both name lines of one table."""
        for number, network in enumerate(config.networks):
            both = sorted(set(network.surrogates) & set(self.rankings))
            if both:
                raise ConfigError(
                    f"networks.{number}.surrogates: {both[0]!r} is a ranking of debugging; rename one."
                )

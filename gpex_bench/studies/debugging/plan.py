"""The settings of the debugging study: the section `debugging` of a config."""

from __future__ import annotations

from typing import Any

from gpex_bench.config.resolve import ConfigError
from gpex_bench.studies.debugging.labels import check_share
from gpex_bench.types import Need, Study, demands, settings

# functions in `rankings`
RANKINGS = ("embedding", "representer", "influence", "random")


@settings
class Debugging(Study):
    """Share of wrong labels, samples shown per round, and the rankings that decide their order."""

    question = "Which training samples, shown and corrected first, help most against wrong labels?"
    reference = "akbarnejad2023gpex"
    trains = True
    asks = frozenset({Need.CLASSES, Need.OUTPUTS})

    # the two classes of the dataset whose labels are swapped
    classes: tuple[str, str]
    # share of the training labels of each class that is swapped (paper: 0.45)
    flipped: float = 0.45
    # training samples shown between two trainings
    per_round: int = 60
    rounds: int = 5
    # besides the neighbours of each surrogate
    rankings: tuple[str, ...] = RANKINGS

    def __post_init__(self) -> None:
        """Refuse plans without an answer."""
        demands.at_least(self, 1, "per_round", "rounds")
        check_share(self.flipped)

        for name in self.rankings:
            if name not in RANKINGS:
                known = ", ".join(RANKINGS)
                raise ValueError(f"rankings must be among {known}, got {name!r}.")

    def check(self, config: Any) -> None:
        """Refuse surrogates whose run id is that of a ranking: both name lines of one table."""
        for number, network in enumerate(config.networks):
            where = f"networks.{number}.surrogates"
            for name in sorted(network.surrogates):
                if name in self.rankings:
                    raise ConfigError(f"{where}: {name!r} is a ranking of debugging; rename one.")

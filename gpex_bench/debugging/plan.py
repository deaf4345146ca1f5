"""The settings of the experiment: the section `debugging` of a config."""

from __future__ import annotations

from gpex_bench.debugging.labels import check_share
from gpex_bench.types import settings

RANKINGS = ("embedding", "representer", "influence", "random")  # functions in `rankings`


@settings
class Plan:
    """How much is spoilt, how much is shown, and what decides what is shown first."""

    classes: tuple[str, str]  # the two classes of the dataset whose labels are swapped
    flipped: float = 0.45  # share of the training labels of each class that is swapped (paper: 0.45)
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

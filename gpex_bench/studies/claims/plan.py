"""The settings of the study on claims: the section `claims` of a config.

The run is an ordinary one. A claim compares one method with others by one metric, and the training
seed is the unit: what a paper says of a method should hold for networks that are trained again.
"""

from __future__ import annotations

from typing import Any, Literal

from gpex_bench.types import Study, demands, settings

# With fewer training seeds only large differences can be shown; the page then says how large.
ENOUGH_SEEDS = 8


@settings
class Claim:
    """What a source says of a method.

    Attributes:
        text: the claim in our words.
        source: key in docs/references.bib.
        method: what the claim is about.
        than: methods with which it is compared, each by itself.
        metric: by which.
        says: `better`, or `not worse`: the mean is not behind by the margin or more.
    """

    text: str
    source: str
    method: str
    than: tuple[str, ...]
    metric: str
    says: Literal["better", "not worse"] = "better"


@settings
class Claims(Study):
    """Claims, and the smallest difference that matters."""

    question = "Do the claims hold on networks that are trained again?"
    reference = "montavon2018methods"
    needs = frozenset({"methods", "metrics"})
    trains = True

    claims: tuple[Claim, ...]
    # of a difference, as a share of the standard deviation of the scores over samples
    margin: float = 0.1
    # chance to show a difference of the size that the page calls detectable
    power: float = 0.8

    def __post_init__(self) -> None:
        """Refuse pages without a claim, and shares out of range."""
        demands.share(self, "margin", "power")
        if not self.claims:
            raise ValueError("claims must hold at least one claim, got none.")

    def check(self, config: Any) -> None:
        """Check that methods and metrics are in the config, and that networks are repeated.

        Raises:
            ValueError: names the claim and what it lacks.
        """
        if len(config.seeds) < 2:
            raise ValueError(
                f"seeds must be at least 2, got {list(config.seeds)}: the training seed is the "
                f"unit of this study; {ENOUGH_SEEDS} or more show differences of ordinary size."
            )
        for number, claim in enumerate(self.claims):
            named = [("method", name) for name in (claim.method, *claim.than)]
            for kind, name in [*named, ("metric", claim.metric)]:
                if name not in config.entries[kind]:
                    known = ", ".join(sorted(config.entries[kind]))
                    raise ValueError(
                        f"claims.{number}: unknown {kind} {name!r}; add it to `{kind}s` of the "
                        f"config, or name one of {known}."
                    )

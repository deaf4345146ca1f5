"""The settings of the interactions study: the section `interactions` of a config."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, get_args

from gpex_bench.config.resolve import unknown
from gpex_bench.masking.choices import Output
from gpex_bench.masking.fills import METHOD_FILLS, MethodFill
from gpex_bench.types import Need, Study, demands, settings

# without `segment_mean`, which would reveal regions by their colour
FILLS = tuple(fill for fill in METHOD_FILLS if fill != "segment_mean")
MASKS = ("binary", "continuous")


@settings
class Interactions(Study):
    """How images are masked, and which networks are compared."""

    question = (
        "Do regions of an image interact more in newer architectures, "
        "and less after robust training?"
    )
    reference = "anonymous2022sbsa"
    trains = True
    asks = frozenset({Need.CLASSES, Need.OUTPUTS})

    # models from the oldest architecture to the newest: do shares rise along it?
    ladder: tuple[str, ...]
    # a model trained robustly and its plain twin: do shares fall?
    twins: tuple[tuple[str, str], ...] = ()
    # the first of the test split that all networks classify correctly with all seeds
    images: int = 48
    # base points of the design of continuous masks, a power of two
    points: int = 64
    # the planted object, and all else, are cut into sides x sides regions each
    sides: int = 2
    fills: tuple[MethodFill, ...] = ("baseline", "blur")
    outputs: tuple[Output, ...] = ("logit", "probability")
    masks: tuple[str, ...] = MASKS

    def __post_init__(self) -> None:
        """Refuse plans without an answer."""
        demands.at_least(self, 2, "images", "points")
        demands.at_least(self, 1, "sides")
        if self.points & (self.points - 1):
            raise ValueError(f"points must be a power of two, got {self.points}.")
        if self.sides > 2:
            raise ValueError(
                f"sides must be at most 2, got {self.sides}: more than 12 regions are noise."
            )

        self._check_options("fills", FILLS)
        self._check_options("outputs", get_args(Output))
        self._check_options("masks", MASKS)

        n_models = len(set(self.ladder))
        if n_models < 2 or n_models < len(self.ladder):
            raise ValueError(
                f"ladder must name at least two different models, got {list(self.ladder)}."
            )

    def _check_options(self, name: str, known: Collection[str]) -> None:
        given = list(getattr(self, name))
        different = set(given)
        has_unknown = not different <= set(known)
        if not given or len(different) < len(given) or has_unknown:
            options = ", ".join(known)
            raise ValueError(f"{name} must be different ones of {options}, got {given}.")

    @property
    def models(self) -> tuple[str, ...]:
        """Return every model that it names."""
        in_pairs = [name for pair in self.twins for name in pair]
        return tuple(dict.fromkeys([*self.ladder, *in_pairs]))

    def check(self, config: Any) -> None:
        """Check that every model that is compared is there, on every dataset."""
        datasets = dict.fromkeys(network.dataset for network in config.networks)
        for dataset in datasets:
            own = [network for network in config.networks if network.dataset == dataset]
            known = [network.model for network in own]
            for model in self.models:
                if model not in known:
                    raise unknown("interactions", f"model on {dataset}", model, known)

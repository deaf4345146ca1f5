"""The settings of the experiment: the section `interactions` of a config."""

from __future__ import annotations

from typing import Any, get_args

from gpex_bench.config.resolve import unknown
from gpex_bench.masking.choices import Output
from gpex_bench.masking.fills import METHOD_FILLS, MethodFill
from gpex_bench.types import Study, settings

# without `segment_mean`, which would tell regions by their colour
FILLS = tuple(fill for fill in METHOD_FILLS if fill != "segment_mean")
MASKS = ("binary", "continuous")


@settings
class Interactions(Study):
    """How images are masked, and which networks are compared."""

    question = "Do regions of an image interact more in newer architectures, and less after robust training?"
    reference = "anonymous2022sbsa"

    ladder: tuple[
        str, ...
    ]  # models from the oldest architecture to the newest: do shares rise along it?
    twins: tuple[
        tuple[str, str], ...
    ] = ()  # a model trained robustly and its plain twin: do shares fall?
    images: int = (
        48  # the first of the test split that all networks classify correctly with all seeds
    )
    points: int = 64  # base points of the design of continuous masks, a power of two
    sides: int = 2  # the planted object, and all else, are cut into sides x sides regions each
    fills: tuple[MethodFill, ...] = ("baseline", "blur")
    outputs: tuple[Output, ...] = ("logit", "probability")
    masks: tuple[str, ...] = MASKS

    def __post_init__(self) -> None:
        for name, least in (("images", 2), ("points", 2), ("sides", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if self.points & (self.points - 1):
            raise ValueError(f"points must be a power of two, got {self.points}.")
        if self.sides > 2:
            raise ValueError(
                f"sides must be at most 2, got {self.sides}: more than 12 regions are noise."
            )
        known = {"fills": FILLS, "outputs": get_args(Output), "masks": MASKS}
        for name, choices in known.items():
            given = getattr(self, name)
            if not given or len(set(given)) < len(given) or set(given) - set(choices):
                raise ValueError(
                    f"{name} must be different ones of {', '.join(choices)}, got {list(given)}."
                )
        if len(set(self.ladder)) < max(2, len(self.ladder)):
            raise ValueError(
                f"ladder must name at least two different models, got {list(self.ladder)}."
            )

    @property
    def models(self) -> tuple[str, ...]:
        """Return every model that it names."""
        return tuple(dict.fromkeys([*self.ladder, *(name for pair in self.twins for name in pair)]))

    def check(self, config: Any) -> None:
        """Check that every model that is compared is there, on every dataset."""
        for dataset in {network.dataset: None for network in config.networks}:
            known = [network.model for network in config.networks if network.dataset == dataset]
            for model in self.models:
                if model not in known:
                    raise unknown("interactions", f"model on {dataset}", model, known)

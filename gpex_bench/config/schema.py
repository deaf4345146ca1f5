"""The config as it is written: which keys there are, their types and defaults."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from gpex_bench.masking.fills import CurveFill
from gpex_bench.plugins.registry import NAME

Id = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
Count = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


class Network(_Strict):
    """One kind of network on one dataset."""

    dataset: Id
    model: Id
    surrogates: tuple[Id, ...] = ()


class Explain(_Strict):
    """What is explained, and how long one cell may take."""

    # test samples explained per network: a draw stratified by what the network predicts
    samples: Count = 100
    # how many of them are explained again; fewer do not separate 40 methods
    robustness_samples: Count = 16
    # how many are scored by metrics that change inputs in ways of their own (patches, segments,
    # in-painting, subsets, chunks, noise); None: all
    removal_samples: Count | None = None
    # of removal, besides the dataset's baseline
    fills: tuple[CurveFill, ...] = ("train_mean", "noise", "middle", "uniform")
    # seconds that one explainer may take for one network and seed
    timeout_s: Annotated[float, Field(gt=0)] = 900.0


class Layout(_Strict):
    """The config as written; plug-in sections are resolved later."""

    run: Id
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    strict: bool = False
    headline: Id = "srg"  # the metric that the report's verdict is about
    explain: Explain = Explain()
    # folders of drop-ins, relative to the working folder
    plugins: tuple[str, ...] = ()
    networks: Annotated[tuple[Network, ...], Field(min_length=1)]
    datasets: dict[Id, dict[str, Any] | None]
    models: dict[Id, dict[str, Any] | None]
    surrogates: dict[Id, dict[str, Any] | None] = {}
    methods: dict[Id, dict[str, Any] | None] = {}  # a study may have none
    metrics: dict[Id, dict[str, Any] | None] = {}


# Keys that configs used to have, and what to do instead.
GONE = {
    "explain.fill_samples": "remove it: removal curves under `fills` are measured on all `samples`",
}

# The models by the config key that holds them, the innermost first.
MODELS: dict[str, type[BaseModel]] = {
    "explain": Explain,
    "networks": Network,
    "": Layout,
}

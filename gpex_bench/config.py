"""The config: a YAML file turned into frozen settings. Every error names the key, the value and what is known."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gpex_bench.registry import KINDS, NAME, Plugin, plugins
from gpex_bench.types import Architecture, Explainer, Metric, Need, Recipe, Source

SECTIONS = {f"{kind}s": kind for kind in KINDS}  # datasets, models, surrogates, methods, metrics
Id = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
Count = Annotated[int, Field(ge=1)]


class ConfigError(ValueError):
    """A config that cannot be used; the message names the key."""


class _Strict(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


class Network(_Strict):
    """One kind of network on one dataset."""

    dataset: Id
    model: Id
    surrogates: tuple[Id, ...] = ()


class Explain(_Strict):
    """What is explained, and how long one cell may take."""

    samples: Count = 48  # test samples explained per network, the first of the test split
    robustness_samples: Count = 8  # how many of them are explained again by metrics that re-explain
    timeout_s: Annotated[float, Field(gt=0)] = 900.0  # seconds one explainer may take for one network and seed


class Layout(_Strict):
    """The config as written; plug-in sections are resolved later."""

    run: Id
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    strict: bool = False
    headline: Id = "srg"  # the metric that the report's verdict is about
    explain: Explain = Explain()
    networks: Annotated[tuple[Network, ...], Field(min_length=1)]
    datasets: dict[Id, dict[str, Any] | None]
    models: dict[Id, dict[str, Any] | None]
    surrogates: dict[Id, dict[str, Any] | None] = {}
    methods: Annotated[dict[Id, dict[str, Any] | None], Field(min_length=1)]
    metrics: Annotated[dict[Id, dict[str, Any] | None], Field(min_length=1)]


@dataclass(frozen=True)
class Entry:
    """One line of a plug-in section: a run id, the plug-in it names, and its hyperparameters."""

    id: str
    plugin: Plugin
    written: str  # the hyperparameters as written, as canonical JSON
    settings: Any | None  # the plug-in's object; None if the plug-in cannot be used
    wraps: tuple[Plugin, ...] = ()  # plug-ins inside its hyperparameters

    @property
    def sources(self) -> tuple[Path, ...]:
        """Return the source files that decide what it does."""
        return tuple(dict.fromkeys(plugin.path for plugin in (self.plugin, *self.wraps) if plugin.path.is_file()))


@dataclass(frozen=True)
class Config:
    """A checked config."""

    run: str
    seeds: tuple[int, ...]
    strict: bool
    headline: str
    explain: Explain
    networks: tuple[Network, ...]
    entries: Mapping[str, Mapping[str, Entry]]  # by kind, then by run id

    def entry(self, kind: str, run_id: str) -> Entry:
        """Return the entry of a plug-in section."""
        return self.entries[kind][run_id]

    def dataset(self, run_id: str) -> Source:
        """Return the settings of a dataset."""
        return self._settings("dataset", run_id)

    def model(self, run_id: str) -> Architecture:
        """Return the settings of a network."""
        return self._settings("model", run_id)

    def surrogate(self, run_id: str) -> Recipe:
        """Return the settings of a surrogate."""
        return self._settings("surrogate", run_id)

    def metric(self, run_id: str) -> Metric:
        """Return the settings of a metric."""
        return self._settings("metric", run_id)

    def method(self, run_id: str) -> Explainer | None:
        """Return an explainer, or None if its plug-in cannot be used."""
        settings: Explainer | None = self.entry("method", run_id).settings
        return settings

    def _settings(self, kind: str, run_id: str) -> Any:
        return self.entry(kind, run_id).settings

    def not_applicable(self, network: Network, method: str) -> str | None:
        """Return why a method does not apply to a network, or None if it does. Decided before any job runs."""
        explainer = self.method(method)
        if explainer is None:
            return None  # its cells are tried and read "failed" with the reason
        missing = _missing(explainer.needs, self.offers(network))
        if missing:
            return f"needs {missing}"
        if explainer.surrogate is not None and explainer.surrogate not in network.surrogates:
            return f"needs surrogate {explainer.surrogate}"
        return None

    def skipped(self, network: Network, method: str, metric: str) -> str | None:
        """Return why a metric does not apply to an applicable method on a network, or None if it does."""
        explainer, score = self.method(method), self.metric(metric)
        if explainer is not None and not issubclass(explainer.explains, score.scores):
            return f"scores {score.scores.__name__.lower()}, not {explainer.explains.__name__.lower()}"
        missing = _missing(score.needs, self.offers(network))
        return f"needs {missing}" if missing else None

    def offers(self, network: Network) -> frozenset[Need]:
        """Return what a network and its dataset offer to explainers and metrics."""
        return self.dataset(network.dataset).offers | self.model(network.model).offers


def _missing(needs: Iterable[Need], offers: Iterable[Need]) -> str:
    return ", ".join(sorted(set(needs) - set(offers)))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _unknown(where: str, what: str, name: str, known: Iterable[str]) -> ConfigError:
    known = sorted(known)
    near = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ConfigError(f"{where}: unknown {what} {name!r}.{hint} Known: {_listed(known)}.")


def _pydantic(error: ValidationError, where: str, model: type[BaseModel] | None = None) -> ConfigError:
    """Return pydantic's first complaint in our words."""
    first = error.errors()[0]
    key = ".".join([where, *(str(part) for part in first["loc"] if part != "[key]")]).strip(".")
    if first["type"] == "extra_forbidden":
        owner: Any = model
        for part in first["loc"][:-1]:
            owner = {"explain": Explain, "networks": Network}.get(str(part), owner)
        return _unknown(key, "key", str(first["loc"][-1]), owner.model_fields)
    if first["type"] == "missing":
        return ConfigError(f"{key}: this key is required and missing.")
    return ConfigError(f"{key}: {first['msg']}, got {first['input']!r}.")


class _Resolver:
    """Turns the plug-in sections into objects; wrappers may name other methods by run id."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.resolving: list[str] = []

    def entry(self, kind: str, run_id: str) -> Entry:
        section = getattr(self.layout, f"{kind}s")
        where = f"{kind}s.{run_id}"
        written = dict(section[run_id] or {})
        name = written.get(kind, run_id)
        known = plugins(kind)
        if name not in known:
            raise _unknown(where, kind, str(name), known)
        plugin = known[name]
        text = json.dumps(written, sort_keys=True)
        if plugin.cls is None:
            if kind != "method":
                raise ConfigError(f"{where}: {plugin.path.name} {plugin.reason}.")
            return Entry(run_id, plugin, text, None)
        written.pop(kind, None)
        wraps: list[Plugin] = []
        settings = self.build(plugin.cls, written, where, wraps)
        return Entry(run_id, plugin, text, settings, tuple(wraps))

    def build(self, cls: type, written: Mapping[str, Any], where: str, wraps: list[Plugin]) -> Any:
        if not is_dataclass(cls):
            raise ConfigError(f"{where}: {cls.__name__} must be decorated with @settings (a frozen dataclass).")
        hints = get_type_hints(cls)
        known = {field.name: field for field in fields(cls)}
        for name in written:
            if name not in known:
                raise _unknown(f"{where}.{name}", "parameter", name, known)
        for field in known.values():
            required = field.default is MISSING and field.default_factory is MISSING
            if required and field.name not in written:
                raise ConfigError(f"{where}.{field.name}: this parameter is required and missing.")
        ready = {name: self.leaf(hints[name], item, f"{where}.{name}", wraps) for name, item in written.items()}
        try:
            return cls(**ready)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where}: {error}") from error

    def leaf(self, hint: Any, item: Any, where: str, wraps: list[Plugin]) -> Any:
        if hint is Explainer:
            return self.wrapped(item, where, wraps)
        if isinstance(hint, type) and is_dataclass(hint):
            if not isinstance(item, dict):
                raise ConfigError(f"{where}: must be a mapping of {hint.__name__}'s parameters, got {item!r}.")
            return self.build(hint, item, where, wraps)
        try:
            return TypeAdapter(hint).validate_python(item)
        except ValidationError as error:
            raise _pydantic(error, where) from error

    def wrapped(self, run_id: Any, where: str, wraps: list[Plugin]) -> Explainer:
        if run_id not in self.layout.methods:
            raise _unknown(where, "run id of a method", str(run_id), self.layout.methods)
        if run_id in self.resolving:
            raise ConfigError(f"{where}: {run_id!r} wraps itself.")
        self.resolving.append(run_id)
        inner = self.entry("method", run_id)
        self.resolving.pop()
        if inner.settings is None:
            raise ConfigError(f"{where}: {run_id!r} cannot be used: {inner.plugin.reason}.")
        wraps += [inner.plugin, *inner.wraps]
        explainer: Explainer = inner.settings
        return explainer


def parse(raw: Mapping[str, Any]) -> Config:
    """Check a config as loaded from YAML.

    Raises:
        ConfigError: names the key, the value, and what is known.
    """
    try:
        layout = Layout.model_validate(dict(raw))
    except ValidationError as error:
        raise _pydantic(error, "", Layout) from error
    if len(set(layout.seeds)) != len(layout.seeds):
        raise ConfigError(f"seeds: each seed may stand there once, got {list(layout.seeds)}.")
    resolver = _Resolver(layout)
    entries = {
        kind: {run_id: resolver.entry(kind, run_id) for run_id in getattr(layout, section)}
        for section, kind in SECTIONS.items()
    }
    if layout.headline not in layout.metrics:
        raise _unknown("headline", "run id of a metric", layout.headline, layout.metrics)
    config = Config(layout.run, layout.seeds, layout.strict, layout.headline, layout.explain, layout.networks, entries)
    _check_networks(config)
    return config


def _check_networks(config: Config) -> None:
    """Check that every network names entries that exist and fit together."""
    seen = set()
    for number, network in enumerate(config.networks):
        where = f"networks.{number}"
        named = [("dataset", network.dataset), ("model", network.model)]
        for kind, run_id in [*named, *(("surrogate", name) for name in network.surrogates)]:
            if run_id not in config.entries[kind]:
                raise _unknown(f"{where}.{kind}", f"run id of a {kind}", run_id, config.entries[kind])
        if (network.dataset, network.model) in seen:
            raise ConfigError(f"{where}: {network.model} on {network.dataset} stands there twice.")
        seen.add((network.dataset, network.model))
        missing = _missing(config.model(network.model).takes, config.dataset(network.dataset).offers)
        if missing:
            raise ConfigError(f"{where}: model {network.model} takes {missing}, {network.dataset} is not of that kind.")


def load(path: Path) -> Config:
    """Read and check a YAML config.

    Raises:
        ConfigError: if the file is missing, is not YAML, or does not pass the checks.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give a YAML config such as config/default.yaml."
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must be a mapping of config keys, got {type(raw).__name__}.")
    return parse(raw)

"""The config: a YAML file turned into frozen settings.

Every error names the key, the value and what is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import ValidationError

from gpex_bench.config.resolve import ConfigError, Entry, Resolver, complaint, unknown
from gpex_bench.config.schema import MODELS, Explain, Layout, Network
from gpex_bench.config.stored import check_names, check_one_network, elsewhere
from gpex_bench.plugins.registry import KINDS, drop_ins, study_names
from gpex_bench.plugins.registry import study as study_class
from gpex_bench.tables.words import CANNOT_BE_ASKED
from gpex_bench.types import Architecture, Explainer, Metric, Need, Recipe, Source, Study

SECTIONS = {f"{kind}s": kind for kind in KINDS}  # datasets, models, surrogates, methods, metrics


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
    plugins: tuple[str, ...] = ()  # folders of drop-ins, as written
    study: Study | None = None
    study_name: str | None = None  # its folder, and its section of the config
    # As they are in the file, before the study expanded them.
    written_sections: Mapping[str, Any] = field(default_factory=dict)
    written_networks: tuple[Network, ...] = ()

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

    def seeds_of(self, model: str) -> tuple[int, ...]:
        """Return the seeds of a network's cells: all, or the first if it is given, not trained."""
        return self.seeds[:1] if self.model(model).is_given else self.seeds

    def is_trained_on(self, dataset: str) -> bool:
        """Return whether a network of the run is trained on a dataset, not brought along."""
        models = {network.model for network in self.networks if network.dataset == dataset}
        return not all(self.model(model).is_given for model in models)

    def _settings(self, kind: str, run_id: str) -> Any:
        return self.entry(kind, run_id).settings

    def not_applicable(self, network: Network, method: str) -> str | None:
        """Return why a method does not apply to a network, or None if it does."""
        explainer = self.method(method)
        if explainer is None:
            return None  # its cells are tried and read "failed" with the reason
        reason = elsewhere(explainer, network)
        if reason is not None:
            return reason
        missing = _missing(explainer.needs, self.offers(network))
        if missing:
            return f"needs {missing}"
        if explainer.surrogate is not None and explainer.surrogate not in network.surrogates:
            return f"needs surrogate {explainer.surrogate}"
        explained = self.model(network.model).explained
        if explainer.surrogate is not None and explained != "logits":
            return f"{explainer.surrogate} stands in for the {explained}, not for the class scores"
        return None

    def skipped(self, network: Network, method: str, metric: str) -> str | None:
        """Return why a metric does not apply to a method on a network, or None if it does."""
        explainer, score = self.method(method), self.metric(metric)
        if explainer is not None and not issubclass(explainer.explains, score.scores):
            return (
                f"scores {score.scores.__name__.lower()}, not {explainer.explains.__name__.lower()}"
            )
        offers = self.offers(network) | (explainer.offers if explainer is not None else frozenset())
        missing = _missing(score.needs, offers)
        if missing:
            return f"needs {missing}"
        if explainer is not None and explainer.is_stored and score.re_explains:
            return CANNOT_BE_ASKED
        is_another = any(measurement.changes_network for measurement in score.measurements())
        if is_another and explainer is not None and explainer.surrogate is not None:
            return f"explains other networks, and {explainer.surrogate} is fitted to this one"
        return None

    def offers(self, network: Network) -> frozenset[Need]:
        """Return what a network and its dataset offer to explainers and metrics."""
        dataset = self.dataset(network.dataset)
        model = self.model(network.model)
        offered = dataset.offers | dataset.kind.offers | model.offers | {Need.TRAINING}
        return offered - {Need.OUTPUTS} if model.one_logit else offered


def _missing(needs: Iterable[Need], offers: Iterable[Need]) -> str:
    return ", ".join(sorted(set(needs) - set(offers)))


def parse(
    raw: Mapping[str, Any], objects: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> Config:
    """Check a config as loaded from YAML.

    Args:
        raw: the config.
        objects: plug-ins that are there already, by kind and run id; their lines in the config are
            empty.

    Raises:
        ConfigError: names the key, the value, and what is known.
    """
    name = _study_name(raw)
    plain = {key: value for key, value in raw.items() if key != name}
    try:
        layout = Layout.model_validate(plain)
    except ValidationError as error:
        raise complaint(error, "", MODELS, others=study_names()) from error
    if len(set(layout.seeds)) != len(layout.seeds):
        raise ConfigError(
            f"seeds must be distinct, got {list(layout.seeds)}; remove the duplicate."
        )

    _check_folders(layout.plugins)
    study = None if name is None else _study(name, raw[name])
    _check_what_is_asked(layout, study, name)

    written = layout
    if study is not None:
        sections, networks = study.expand(_sections(layout), layout.networks)
        layout = layout.model_copy(update={**sections, "networks": tuple(networks)})
    entries = _entries(layout, written, name, objects)
    _check_surrogates(layout)

    config = Config(
        run=layout.run,
        seeds=layout.seeds,
        strict=layout.strict,
        headline=layout.headline,
        explain=layout.explain,
        networks=layout.networks,
        entries=entries,
        plugins=layout.plugins,
        study=study,
        study_name=name,
        written_sections=_sections(written),
        written_networks=written.networks,
    )
    if study is not None:
        _check_study(study, config)
    _check_networks(config)
    _check_stored(config)
    return config


def _check_folders(folders: tuple[str, ...]) -> None:
    """Check that the folders of drop-ins are there and hold some."""
    for number, folder in enumerate(folders):
        try:
            drop_ins(folder)
        except ValueError as error:
            raise ConfigError(f"plugins.{number}: {error}") from error


def _sections(layout: Layout) -> dict[str, Any]:
    """Return the plug-in sections by name."""
    return {section: getattr(layout, section) for section in SECTIONS}


def _study_name(raw: Mapping[str, Any]) -> str | None:
    """Return the one study that a config has a section for, or None."""
    names = [name for name in study_names() if raw.get(name) is not None]
    if len(names) > 1:
        raise ConfigError(
            f"{names[1]}: a config may have one study, got {' and '.join(names)}; "
            "move all but one into configs of their own."
        )
    return names[0] if names else None


def _study(name: str, written: Any) -> Study:
    """Return a study from its section."""
    if not isinstance(written, Mapping):
        raise ConfigError(f"{name}: must be a mapping of the study's settings, got {written!r}.")
    study: Study = Resolver({}).build(study_class(name), written, name, [])
    return study


def _check_study(study: Study, config: Config) -> None:
    """Check a study against the rest of the config; its complaints are about its section."""
    try:
        study.check(config)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{config.study_name}: {error}") from error


def _check_what_is_asked(layout: Layout, study: Study | None, name: str | None) -> None:
    """Check that there are methods and metrics, unless a study does without them."""
    for section in sorted(study.refuses) if study is not None else ():
        if getattr(layout, section):
            raise ConfigError(
                f"{section}: this section has no effect in the study {name}; remove it."
            )
    needed = {"methods", "metrics"}
    is_scored = bool(layout.methods or layout.metrics)
    if study is not None and not (is_scored and study.has_report):
        needed = set(study.needs)
    for section in sorted(needed):
        if not getattr(layout, section):
            raise ConfigError(
                f"{section}: at least 1 is needed, got none; only some studies do without."
            )
    if layout.metrics and layout.headline not in layout.metrics:
        raise unknown("headline", "run id of a metric", layout.headline, layout.metrics)


def _entries(
    layout: Layout,
    written: Layout,
    study: str | None,
    objects: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Entry]]:
    """Return every line of the plug-in sections as an entry.

    A line that is not among the written ones was made by the study, so its errors name the study.
    """
    sections = {kind: getattr(layout, section) for section, kind in SECTIONS.items()}
    resolver = Resolver(sections, layout.plugins, objects)
    entries: dict[str, dict[str, Entry]] = {}
    for section, kind in SECTIONS.items():
        entries[kind] = {}
        for run_id in getattr(layout, section):
            try:
                entries[kind][run_id] = resolver.entry(kind, run_id)
            except ConfigError as error:
                is_written = run_id in getattr(written, section)
                raise ConfigError(str(error) if is_written else f"{study}: {error}") from error
    return entries


def _check_surrogates(layout: Layout) -> None:
    """Check that the surrogates that the config names for methods are listed.

    A plug-in's own default may be missing: the method then does not apply to any network.
    """
    for run_id, written in layout.methods.items():
        name = (written or {}).get("surrogate")
        if name is not None and name not in layout.surrogates:
            raise unknown(
                f"methods.{run_id}.surrogate", "run id of a surrogate", str(name), layout.surrogates
            )


def _check_networks(config: Config) -> None:
    """Check that every network names entries that exist and fit together."""
    places = [(network.dataset, network.model) for network in config.networks]
    for number, network in enumerate(config.networks):
        where = f"networks.{number}"
        _check_names(config, network, where)
        if (network.dataset, network.model) in places[:number]:
            raise ConfigError(
                f"{where}: {network.model} on {network.dataset} is listed twice; remove one."
            )
        _check_fit(config, network, where)


def _check_stored(config: Config) -> None:
    """Check that maps that were made elsewhere explain one network, and are not asked again."""
    seeds = {name: config.seeds_of(name) for name in config.entries["model"]}
    for run_id in config.entries["method"]:
        explainer = config.method(run_id)
        if explainer is None or not explainer.is_stored:
            continue
        if config.study is not None and config.study.asks_again:
            raise ConfigError(
                f"methods.{run_id}: {CANNOT_BE_ASKED}, and the study {config.study_name} asks "
                "every method about other inputs or networks; leave it out."
            )
        check_names(run_id, explainer, config.entries)
        check_one_network(run_id, explainer, config.networks, seeds)


def _check_names(config: Config, network: Network, where: str) -> None:
    """Check that the parts of a network are listed in their sections."""
    named = [("dataset", network.dataset), ("model", network.model)]
    named += [("surrogate", name) for name in network.surrogates]
    for kind, run_id in named:
        known = config.entries[kind]
        if run_id not in known:
            raise unknown(f"{where}.{kind}", f"run id of a {kind}", run_id, known)


def _check_fit(config: Config, network: Network, where: str) -> None:
    """Check that a network's dataset, model and surrogates fit together."""
    model, dataset = config.model(network.model), config.dataset(network.dataset)
    if not model.takes & dataset.offers:
        missing = " or ".join(sorted(model.takes))
        raise ConfigError(
            f"{where}: model {network.model} takes inputs of the kind {missing}, which dataset "
            f"{network.dataset} does not have; choose another model or dataset."
        )

    if config.study is not None and config.study.trains and model.is_given:
        raise ConfigError(
            f"{where}.model: the study {config.study_name} trains networks again or compares those "
            f"of several seeds, and {network.model} is given, not trained; leave the network out."
        )

    asked = config.study.asks if config.study is not None else frozenset()
    lacking = _missing(asked, config.offers(network))
    if lacking:
        raise ConfigError(
            f"{where}: the study {config.study_name} needs {lacking}, which {network.model} on "
            f"{network.dataset} does not have; leave the network out."
        )

    for name in network.surrogates:
        explains = config.surrogate(name).takes_explained
        if model.explained not in explains:
            raise ConfigError(
                f"{where}.surrogates: {name} can only be fitted to {', '.join(sorted(explains))}, "
                f"but what {network.model} explains is its {model.explained}; remove it."
            )


def load(path: Path) -> Config:
    """Read and check a YAML config.

    Raises:
        ConfigError: if the file is missing, is not YAML, or does not pass the checks.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); "
            "give a YAML config such as config/default.yaml."
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must be a mapping of config keys, got {type(raw).__name__}.")
    return parse(raw)

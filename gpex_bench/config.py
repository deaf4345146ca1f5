"""The config: a YAML file turned into frozen settings. Every error names the key, the value and what is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gpex_bench.budget_plan import BudgetPlan
from gpex_bench.debugging.plan import Plan
from gpex_bench.entries import ConfigError, Entry, Resolver, complaint, unknown
from gpex_bench.grid import PLACES, Point, Setting, Study, check_places, expand
from gpex_bench.interactions.plan import Plan as InteractionsPlan
from gpex_bench.layout import MODELS, Explain, Layout, Network
from gpex_bench.registry import KINDS
from gpex_bench.retraining_plan import RetrainingPlan
from gpex_bench.types import Architecture, Explainer, Metric, Need, Recipe, Source

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
    study: Study | None = None
    grid: tuple[Setting, ...] = ()  # of the study: every surrogate on every network
    debugging: Plan | None = None
    budget: BudgetPlan | None = None
    interactions: InteractionsPlan | None = None
    retraining: RetrainingPlan | None = None

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
        explained = self.model(network.model).explained
        if explainer.surrogate is not None and explained != "logits":
            return f"{explainer.surrogate} stands in for the {explained}, not for the class scores"
        return None

    def skipped(self, network: Network, method: str, metric: str) -> str | None:
        """Return why a metric does not apply to an applicable method on a network, or None if it does."""
        explainer, score = self.method(method), self.metric(metric)
        if explainer is not None and not issubclass(explainer.explains, score.scores):
            return f"scores {score.scores.__name__.lower()}, not {explainer.explains.__name__.lower()}"
        offers = self.offers(network) | (explainer.offers if explainer is not None else frozenset())
        missing = _missing(score.needs, offers)
        if missing:
            return f"needs {missing}"
        elsewhere = any(measurement.changes_network for measurement in score.measurements())
        if elsewhere and explainer is not None and explainer.surrogate is not None:
            return f"explains other networks, and {explainer.surrogate} is fitted to this one"
        return None

    def offers(self, network: Network) -> frozenset[Need]:
        """Return what a network and its dataset offer to explainers and metrics."""
        return self.dataset(network.dataset).offers | self.model(network.model).offers


def _missing(needs: Iterable[Need], offers: Iterable[Need]) -> str:
    return ", ".join(sorted(set(needs) - set(offers)))


def parse(raw: Mapping[str, Any]) -> Config:
    """Check a config as loaded from YAML.

    Raises:
        ConfigError: names the key, the value, and what is known.
    """
    try:
        layout = Layout.model_validate(dict(raw))
    except ValidationError as error:
        raise complaint(error, "", MODELS) from error
    if len(set(layout.seeds)) != len(layout.seeds):
        raise ConfigError(f"seeds: each seed may stand there once, got {list(layout.seeds)}.")
    _check_what_is_asked(layout)
    written = layout
    grid: list[Setting] = []
    if layout.study is not None:
        layout, grid = _expanded(layout, layout.study)
    entries = _entries(layout, written)
    _check_surrogates(layout)
    first = (layout.run, layout.seeds, layout.strict, layout.headline, layout.explain, layout.networks)
    plans = (_plan(layout), _budget(layout, entries), _interactions(layout), _retraining(layout, entries))
    config = Config(*first, entries, layout.study, tuple(grid), *plans)
    _check_networks(config)
    return config


def _check_what_is_asked(layout: Layout) -> None:
    """Check that there are methods and metrics, or a study or an experiment that does without them."""
    if layout.retraining is not None:
        if layout.metrics:
            raise ConfigError("metrics: a retraining study has scores of its own; leave the section out.")
        return
    does_without = any(plan is not None for plan in (layout.study, layout.debugging, layout.interactions))
    if not does_without or layout.methods or layout.metrics:
        for section in ("methods", "metrics"):
            if not getattr(layout, section):
                raise ConfigError(
                    f"{section}: at least 1 is needed, got none; only a study or an experiment does without."
                )
        if layout.headline not in layout.metrics:
            raise unknown("headline", "run id of a metric", layout.headline, layout.metrics)


def _plan(layout: Layout) -> Plan | None:
    """Return the plan of the experiment on wrong labels, checked against the networks that it runs on."""
    if layout.debugging is None:
        return None
    plan: Plan = Resolver({}).build(Plan, layout.debugging, "debugging", [])
    for number, network in enumerate(layout.networks):
        if both := sorted(set(network.surrogates) & set(plan.rankings)):
            raise ConfigError(f"networks.{number}.surrogates: {both[0]!r} is a ranking of debugging; rename one.")
    return plan


def _budget(layout: Layout, entries: Mapping[str, Mapping[str, Entry]]) -> BudgetPlan | None:
    """Return the plan of the budget study, checked against the methods and networks that it runs on."""
    if layout.budget is None:
        return None
    plan: BudgetPlan = Resolver({}).build(BudgetPlan, layout.budget, "budget", [])
    try:
        plan.check({name: entry.settings for name, entry in entries["method"].items()}, set(layout.models))
    except ValueError as error:
        raise ConfigError(f"budget: {error}") from error
    return plan


def _interactions(layout: Layout) -> InteractionsPlan | None:
    """Return the plan of the experiment on interactions, checked against the networks that it runs on."""
    if layout.interactions is None:
        return None
    plan: InteractionsPlan = Resolver({}).build(InteractionsPlan, layout.interactions, "interactions", [])
    for dataset in {network.dataset: None for network in layout.networks}:
        known = [network.model for network in layout.networks if network.dataset == dataset]
        for model in plan.models:
            if model not in known:
                raise unknown("interactions", f"model on {dataset}", model, known)
    return plan


def _retraining(layout: Layout, entries: Mapping[str, Mapping[str, Entry]]) -> RetrainingPlan | None:
    """Return the plan of the retraining study, checked against its methods."""
    if layout.retraining is None:
        return None
    plan: RetrainingPlan = Resolver({}).build(RetrainingPlan, layout.retraining, "retraining", [])
    try:
        plan.check({name: entry.settings for name, entry in entries["method"].items()})
    except ValueError as error:
        raise ConfigError(f"retraining: {error}") from error
    return plan


def _entries(layout: Layout, written: Layout) -> dict[str, dict[str, Entry]]:
    """Return every line of the plug-in sections as an entry; those that are not as written were made by a study."""
    resolver = Resolver({kind: getattr(layout, section) for section, kind in SECTIONS.items()})
    entries: dict[str, dict[str, Entry]] = {}
    for section, kind in SECTIONS.items():
        entries[kind] = {}
        for run_id in getattr(layout, section):
            try:
                entries[kind][run_id] = resolver.entry(kind, run_id)
            except ConfigError as error:
                is_written = run_id in getattr(written, section)
                raise ConfigError(str(error) if is_written else f"study.axes: {error}") from error
    return entries


def _expanded(layout: Layout, study: Study) -> tuple[Layout, list[Setting]]:
    """Return the config with the study's grid in place of the entries that it varies, and the grid."""
    sections, points = expand(study, {section: getattr(layout, section) for section in SECTIONS})
    networks, grid = [], []
    for number, network in enumerate(layout.networks):
        datasets, models = ([*_points(points, number, kind, getattr(network, kind))] for kind in PLACES[:2])
        fitted = [point for name in network.surrogates for point in _points(points, number, "surrogate", name)]
        for dataset, model in product(datasets, models):
            names = tuple(point.id for point in fitted)
            networks.append(Network(dataset=dataset.id, model=model.id, surrogates=names))
            grid += [Setting.of(dataset, model, surrogate) for surrogate in fitted]
    check_places(study, grid)
    return layout.model_copy(update={**sections, "networks": tuple(networks)}), grid


def _points(points: Mapping[str, Mapping[str, list[Point]]], number: int, kind: str, entry: str) -> list[Point]:
    known = points[f"{kind}s"]
    if entry not in known:
        raise unknown(f"networks.{number}.{kind}", f"run id of a {kind}", entry, known)
    return known[entry]


def _check_surrogates(layout: Layout) -> None:
    """Check that the surrogates that methods are told to use are there; a plug-in's own default may be missing."""
    for run_id, written in layout.methods.items():
        name = (written or {}).get("surrogate")
        if name is not None and name not in layout.surrogates:
            raise unknown(f"methods.{run_id}.surrogate", "run id of a surrogate", str(name), layout.surrogates)


def _check_networks(config: Config) -> None:
    """Check that every network names entries that exist and fit together."""
    seen = set()
    for number, network in enumerate(config.networks):
        where = f"networks.{number}"
        named = [("dataset", network.dataset), ("model", network.model)]
        for kind, run_id in [*named, *(("surrogate", name) for name in network.surrogates)]:
            if run_id not in config.entries[kind]:
                raise unknown(f"{where}.{kind}", f"run id of a {kind}", run_id, config.entries[kind])
        if (network.dataset, network.model) in seen:
            raise ConfigError(f"{where}: {network.model} on {network.dataset} stands there twice.")
        seen.add((network.dataset, network.model))
        missing = _missing(config.model(network.model).takes, config.dataset(network.dataset).offers)
        if missing:
            raise ConfigError(f"{where}: model {network.model} takes {missing}, {network.dataset} is not of that kind.")
        explained = config.model(network.model).explained
        for name in network.surrogates:
            if explained not in config.surrogate(name).takes_explained:
                stands = ", ".join(sorted(config.surrogate(name).takes_explained))
                raise ConfigError(
                    f"{where}.surrogates: {name} stands in for {stands} only; {network.model} explains its {explained}."
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
            f"{path}: cannot be read ({error.strerror}); give a YAML config such as config/default.yaml."
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must be a mapping of config keys, got {type(raw).__name__}.")
    return parse(raw)

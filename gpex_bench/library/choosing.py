"""Plug-ins by name, with settings that are checked as those of a config are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpex_bench.config.resolve import ConfigError, Resolver, Unusable, unknown
from gpex_bench.plugins.registry import plugins
from gpex_bench.types import Dataset, Explainer, Metric, Recipe


def method(name: str, **settings: Any) -> Explainer:
    """Return a method by name, with its hyperparameters.

    Args:
        name: one of `list_methods()`.
        settings: hyperparameters; a method that changes another one takes its name, or the method
            itself, as `of`.

    Raises:
        ConfigError: names the parameter, what came, and what is known.

    Example:
        >>> import gpex_bench as gb
        >>> gb.method("lrp", composite="epsilon_plus").composite
        'epsilon_plus'
    """
    explainer: Explainer = _made("method", name, settings)
    return explainer


def metric(name: str, **settings: Any) -> Metric:
    """Return a metric by name, with its settings; `list_metrics()` lists them."""
    found: Metric = _made("metric", name, settings)
    return found


def surrogate(name: str, **settings: Any) -> Recipe:
    """Return how a surrogate is fitted, by name; `list_surrogates()` lists them."""
    recipe: Recipe = _made("surrogate", name, settings)
    return recipe


def dataset(name: str, **settings: Any) -> Dataset:
    """Return a dataset that comes with the suite, or that reads files, loaded.

    Args:
        name: one of `list_datasets()`.
        settings: of how it is made or read.

    Raises:
        ConfigError: names the parameter, what came, and what is known.
        ValueError: a file does not hold what is expected.

    Example:
        >>> import gpex_bench as gb
        >>> gb.dataset("wine").classes
        ('grower 1', 'grower 2', 'grower 3')
    """
    loaded: Dataset = _made("dataset", name, settings).load()
    return loaded


def _made(kind: str, name: str, settings: Mapping[str, Any]) -> Any:
    """Return a plug-in; raises ConfigError."""
    known = plugins(kind)
    if name not in known:
        raise unknown(kind, kind, str(name), known)
    plugin = known[name]
    if plugin.cls is None:
        raise ConfigError(f"{name}: {plugin.path.name} {plugin.reason}.")

    # A wrapper may name any method, which then has its default settings.
    others = Resolver({"method": dict.fromkeys(plugins("method"))})
    try:
        return others.build(plugin.cls, settings, name, [])
    except Unusable as error:
        raise ConfigError(f"{name}: {error}.") from error


def name_of(plugin: Explainer | Metric | Recipe) -> str:
    """Return how a plug-in is called: its name in the lists, or the name of its class."""
    kinds: Sequence[tuple[type, str]] = (
        (Explainer, "method"),
        (Metric, "metric"),
        (Recipe, "surrogate"),
    )
    for contract, kind in kinds:
        if isinstance(plugin, contract):
            for name, known in plugins(kind).items():
                if known.cls is type(plugin):
                    return name
    return type(plugin).__name__

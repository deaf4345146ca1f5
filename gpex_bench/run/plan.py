"""What a run is made of: which methods and metrics apply, and what decides their results.

The rules of the workflow are written with it, and so are the orders of a run without Snakemake.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpex_bench.config import Config
from gpex_bench.config.resolve import Entry
from gpex_bench.config.schema import Network
from gpex_bench.measurements.curves import CurveMetric, Curves
from gpex_bench.plugins.homes import BIBLIOGRAPHY, PACKAGE
from gpex_bench.run.provenance import described, fingerprint


def code(module: str, *entries: Entry | None) -> str:
    """Return a hash of the source code that decides what a module does with plug-ins.

    Args:
        module: of this package, such as stages/fit.
        entries: lines of a config; None is no plug-in.
    """
    plugins = [path for entry in entries if entry is not None for path in entry.sources]
    return fingerprint(PACKAGE / f"{module}.py", *plugins)


def settings(config: Config, kind: str, run_id: str) -> str:
    """Return the hyperparameters of a plug-in and the content of the files it reads, as text."""
    entry = config.entry(kind, run_id)
    return described(entry.settings) if entry.settings is not None else entry.written


def methods(config: Config, network: Network) -> list[str]:
    """Return the methods that apply to a network, by what they declare: before any job runs."""
    return [
        method
        for method in config.entries["method"]
        if config.not_applicable(network, method) is None
    ]


def metrics(config: Config, network: Network, method: str) -> tuple[list[str], list[str]]:
    """Return the metrics that apply to a method: those that read stored curves, and the others."""
    every = [
        metric
        for metric in sorted(config.entries["metric"])
        if config.skipped(network, method, metric) is None
    ]
    of_curves = [name for name in every if isinstance(config.metric(name), CurveMetric)]
    return of_curves, [name for name in every if name not in of_curves]


def curves(config: Config, of_curves: Iterable[str]) -> list[dict[str, Any]]:
    """Return the removal curves that metrics read, each once."""
    keys: list[dict[str, Any]] = []
    for metric in of_curves:
        (measurement, *_) = config.metric(metric).measurements()
        key = asdict(measurement)  # type: ignore[call-overload] # measurements are dataclasses
        if key not in keys:
            keys.append(key)
    return keys


def variants(config: Config, of_curves: Iterable[str]) -> list[dict[str, Any]]:
    """Return curves under the other fills of the run: of single positions, and of the headline."""
    varied: dict[Curves, None] = {}
    for name in of_curves:
        metric = config.metric(name)
        if not isinstance(metric, CurveMetric) or metric.fill is not None:
            continue
        if metric.unit == "position" or name == config.headline:
            varied |= dict.fromkeys(metric.measurements())

    keys = [asdict(one.under(fill)) for one in varied for fill in config.explain.fills]
    return [key for number, key in enumerate(keys) if key not in keys[:number]]


def surrogate_of(config: Config, method: str) -> str | None:
    """Return the surrogate that a method uses, or None."""
    explainer = config.method(method)
    return None if explainer is None else explainer.surrogate


def surrogate_entry(config: Config, method: str) -> Entry | None:
    """Return the entry of the surrogate that a method uses, or None."""
    return config.entries["surrogate"].get(surrogate_of(config, method) or "")


def applications(config: Config) -> list[list[str]]:
    """Return which methods apply to which network, and why the others do not."""
    return [
        [
            network.dataset,
            network.model,
            method,
            config.not_applicable(network, method) or "applies",
        ]
        for network in config.networks
        for method in config.entries["method"]
    ]


def pages() -> list[Path]:
    """Return what the report is made of and no import leads to.

    Its templates, styles and scripts, and the references.
    """
    folder = PACKAGE / "report"
    ours = [path for path in sorted(folder.iterdir()) if path.suffix in (".j2", ".css", ".js")]
    return [*ours, BIBLIOGRAPHY]

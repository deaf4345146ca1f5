"""The whole benchmark on a network and data in memory: what the workflow writes, without it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gpex_bench.families.stored_maps import StoredMaps, checksums, stored_maps
from gpex_bench.library import in_memory
from gpex_bench.library.asking import inputs, tensor_of
from gpex_bench.library.brought import spread
from gpex_bench.library.results import Maps
from gpex_bench.library.runs import Run
from gpex_bench.library.starting import start, waited
from gpex_bench.library.wrapping import Network, as_network
from gpex_bench.run.alone import Request
from gpex_bench.stages.queries import queries
from gpex_bench.types import Dataset, Explainer, Kind, Metric, Model, Recipe

# Methods, if none are named: of each kind what is quick, and controls that know nothing.
METHODS = ("gradient_x_input", "integrated_gradients", "lrp")
OF_IMAGES = ("saliency", *METHODS, "grad_cam", "occlusion", "random_map", "edge_detector")
OF_TABLES = (*METHODS, "feature_ablation", "kernel_shap", "random_map")
OF_GPEX = ("gpex_attribution", "gpex_neighbours")  # where gpex is among the surrogates
# Metrics, if none are named: one or two of each question.
METRICS = ("srg", "infidelity", "faithfulness_correlation", "sparseness", "max_sensitivity")
OF_TRUTH = ("rank_accuracy", "pointing_game")
OF_NUMBERS = {"srg": {"output": "logit"}}  # a number has no probability
KINDS = ("dataset", "model", "surrogate", "method", "metric")

Named = Sequence[Any] | Mapping[str, Any] | str | None


def evaluate(  # noqa: PLR0913 - options by keyword
    network: nn.Module | Network,
    data: Dataset,
    methods: Named = None,
    *,
    metrics: Named = None,
    surrogates: Named = (),
    maps: Mapping[str, object] | None = None,
    headline: str | None = None,
    samples: int = 48,
    seed: int = 1,
    folder: str | Path = "results/mine",
    timeout: float = 900.0,
    cores: int | None = None,
    plugins: Sequence[str] = (),
    background: bool = False,
    progress: bool = True,
    overwrite: bool = False,
) -> Run:
    """Compare methods on a network and data of one's own: tables, tests, figures and the report.

    It writes what the workflow writes for the same config, with the same numbers. It runs on the
    CPU in a process of its own, which changes nothing in the calling one and ends with it.

    Args:
        network: any `torch.nn.Module`, or what `wrap` returns.
        data: whose test split is explained, or some of it.
        methods: names; or, by name, settings or what `method` returns. None: a quick selection.
        metrics: as methods; what does not apply reads n/a.
        surrogates: as methods: stand-ins that are fitted and compared, such as `["gpex"]`.
        maps: made elsewhere, by name: one for each test row in order; a mapping of `values` and
            `sample`, maybe `target` and `residual`; or what `explain` returns.
        headline: the metric that ranks the methods; None: srg, or the first one.
        samples: test samples that are explained, a stratified draw.
        seed: of all that is drawn.
        folder: of all files. The same evaluation goes on there; another one is refused.
        timeout: seconds that one method may take.
        cores: jobs at a time; None: as many as there are cores.
        plugins: folders with methods and metrics of one's own.
        background: return at once; see `Run.wait`, `Run.progress` and `Run.cancel`.
        progress: show a bar.
        overwrite: replace another evaluation in the folder.

    Raises:
        ValueError: an argument does not fit, or holds a name that is not known; names it.
        EvaluationFailed: it could not be finished; says why.
    """
    config = _Written(network, data, Path(folder))
    config.add_named(methods, metrics, surrogates)
    config.add_maps(maps or {}, samples)
    config.settings["explain"] = {"samples": samples, "timeout_s": timeout}
    config.settings |= {"seeds": [seed], "plugins": list(plugins), "headline": headline}
    run = start(config.request(cores), overwrite, progress)
    return run if background else waited(run)


# --- what is asked for ----------------------------------------------------------------------------


class _Written:
    """A config that is written line by line; what has no file comes with it as objects."""

    def __init__(self, network: nn.Module | Network, data: Dataset, folder: Path) -> None:
        self.data = data
        self.folder = folder
        self.settings: dict[str, Any] = {}
        self.lines: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self.objects: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}

        self.model, module = _model(network, data)
        given = in_memory.of_network(self.model, module, data)
        self.add("dataset", _id(data.name, "data"), in_memory.of_data(data))
        self.add("model", _id(given.network, "network"), given)

    def add(self, kind: str, run_id: str, entry: Any) -> None:
        """Add a line: settings, or an object."""
        if run_id in self.lines[kind]:
            raise ValueError(f"{kind}s must have different names, got {run_id!r} twice.")
        if entry is None or isinstance(entry, Mapping):
            self.lines[kind][run_id] = dict(entry or {})
        else:
            self.lines[kind][run_id] = None
            self.objects[kind][run_id] = entry

    def add_named(self, methods: Named, metrics: Named, surrogates: Named) -> None:
        """Add the lines of names, of names with settings or objects, or of the selections."""
        self._add_all("surrogate", surrogates)
        self._add_all("method", self._quick_methods() if methods is None else methods)
        self._add_all("metric", self._quick_metrics() if metrics is None else metrics)

    def add_maps(self, maps: Mapping[str, object], samples: int) -> None:
        """Add maps that were made elsewhere; there must be one of each sample that is explained."""
        for name, given in maps.items():
            stored = _stored(name, given, self.data)
            stored.of(queries(self.model, self.data, samples), self.data)
            self.add("method", name, in_memory.of_maps(stored))

    def request(self, cores: int | None) -> Request:
        """Return what the process of the evaluation gets."""
        return Request(
            written=self._raw(),
            objects=self.objects,
            folder=self.folder,
            command=f"gpex_bench.evaluate(network, data, folder={self.folder.as_posix()!r})",
            cores=cores or os.cpu_count() or 1,
        )

    def _raw(self) -> dict[str, Any]:
        """Return the config as `config.parse` takes it."""
        (dataset,) = self.lines["dataset"]
        (model,) = self.lines["model"]
        network = {"dataset": dataset, "model": model, "surrogates": [*self.lines["surrogate"]]}
        sections = {f"{kind}s": lines for kind, lines in self.lines.items()}
        raw = {"run": _id(self.folder.name, "mine"), **self.settings, "networks": [network]}

        if raw["headline"] is None:
            metrics = self.lines["metric"]
            raw["headline"] = "srg" if "srg" in metrics else next(iter(metrics), "srg")
        return raw | sections

    def _add_all(self, kind: str, named: Named) -> None:
        for run_id, entry in _entries(kind, named).items():
            self.add(kind, run_id, entry)

    def _quick_methods(self) -> list[str]:
        """Return the selection of methods for a form of data."""
        names = OF_IMAGES if self.data.is_image else OF_TABLES
        of_gpex = OF_GPEX if "gpex" in self.lines["surrogate"] else ()
        return [*names, *of_gpex]

    def _quick_metrics(self) -> dict[str, Any]:
        """Return the selection of metrics for a form of data."""
        names = METRICS if self.data.truth is None else (*METRICS, *OF_TRUTH)
        settings = OF_NUMBERS if self.data.kind is Kind.NUMBER else {}
        return {name: settings.get(name) for name in names}


def _id(name: str, other: str) -> str:
    """Return a name as a run id: small letters, digits and underscores."""
    return re.sub("[^a-z0-9]+", "_", name.lower()).strip("_") or other


def _entries(kind: str, named: Named) -> dict[str, Any]:
    """Return names with their settings or objects.

    Raises:
        ValueError: an entry is neither a name, settings nor a plug-in of this kind.
    """
    contract = {"method": Explainer, "metric": Metric, "surrogate": Recipe}[kind]
    given = [named] if isinstance(named, str) else named
    if not isinstance(given, Mapping):
        given = {one: None if isinstance(one, str) else one for one in given or ()}

    entries: dict[str, Any] = {}
    for name, entry in given.items():
        is_known = entry is None or isinstance(entry, (Mapping, contract))
        if not isinstance(name, str) or not is_known:
            shown = name if entry is None else entry
            raise ValueError(
                f"{kind}s must be names, or by name settings or what `{kind}` returns, got "
                f"{type(shown).__name__} {shown!r}."
            )
        entries[name] = entry
    return entries


def _model(network: nn.Module | Network, data: Dataset) -> tuple[Model, nn.Module]:
    """Return a copy of what is explained, on the CPU, and the module that it was made from."""
    if not isinstance(data, Dataset):
        raise ValueError(
            f"data must be a Dataset, such as arrays or dataset return, got {type(data).__name__}."
        )
    known = as_network(network, inputs(data.test), data)
    model = deepcopy(known.model(data.test.x)).cpu().eval()
    return model, known.module


# --- maps that were made elsewhere ----------------------------------------------------------------


def _stored(name: str, given: object, data: Dataset) -> StoredMaps:
    """Return maps, checked; see `evaluate` for what they may be."""
    where = f"maps[{name!r}]"
    if isinstance(given, Maps):
        found = given.attribution
        explained = given.made.query.x.cpu()
        is_split = torch.equal(explained, data.test.x)  # then the rows need no names
        return stored_maps(
            found.values,
            sample=None if is_split else given.sample.reshape(-1),
            target=given.target.reshape(-1),
            residual=found.residual,
            inputs=checksums(explained),
            where=where,
        )
    parts = dict(given) if isinstance(given, Mapping) else {"values": given}
    unknown = sorted(set(parts) - {"values", "sample", "target", "residual"})
    if unknown or "values" not in parts:
        raise ValueError(
            f"{where} must have values, and maybe sample, target and residual; got "
            f"{', '.join(map(str, parts))}."
        )

    given = tensor_of(where, parts.pop("values"))
    n_maps = len(given) if given.ndim else 0
    values = spread(name, given, (n_maps, *data.test.x.shape[1:]))
    return stored_maps(values, where=where, **parts)

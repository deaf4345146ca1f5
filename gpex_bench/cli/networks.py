"""A network of a config that can be asked at once: a given one, or one that a run has trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import typer

from gpex_bench import config as configs
from gpex_bench.config import Config
from gpex_bench.config.resolve import Resolver
from gpex_bench.config.schema import Network
from gpex_bench.library.asking import Inputs
from gpex_bench.library.fitting import Fitted
from gpex_bench.library.wrapping import as_network
from gpex_bench.plugins.registry import KINDS
from gpex_bench.run import artefacts
from gpex_bench.run.job import Unavailable, load_model, load_predicted, load_surrogate
from gpex_bench.stages.prepare import prepare
from gpex_bench.stages.queries import queries
from gpex_bench.stages.train import PREDICTED, check_trained
from gpex_bench.types import Dataset, Explainer, Metric, Model, Source, Split

DRAWN = "drawn"  # in place of sample numbers: those that the run explains
N_LISTED = 10


@dataclass(frozen=True)
class Ready:
    """A network with the data that it is asked about."""

    path: Path  # of the config
    config: Config
    network: Network
    seed: int
    model: Model
    data: Dataset
    folder: Path  # of the run's results for this network and seed

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.network.model} on {self.network.dataset}"

    def rows(self, samples: str) -> Split:
        """Return rows of the test split.

        Args:
            samples: their numbers, separated by commas; or `drawn`, those that the run explains.

        Raises:
            ValueError: the test split has no such sample.
        """
        if samples != DRAWN:
            return self.rows_of(torch.tensor(_numbers(samples)))
        n_samples = self.config.explain.samples
        return self.rows_of(queries(self.model, self.data, n_samples, self._predicted()).sample)

    def _predicted(self) -> torch.Tensor | None:
        """Return what the networks of all seeds predict; None for a network that is given.

        Raises:
            typer.Exit: one of them is not trained yet.
        """
        if self.config.model(self.network.model).is_given:
            return None
        seeds = self.config.seeds_of(self.network.model)
        files = [self.folder.with_name(f"seed-{seed}") / "model.safetensors" for seed in seeds]
        for seed, path in zip(seeds, files, strict=True):
            _require(path, f"{self.name} is not trained with seed {seed} yet", self.path)
        return load_predicted(files, self.data.kind)

    def rows_of(self, sample: torch.Tensor | None) -> Split:
        """Return the rows of some samples of the test split; None: all in order.

        Raises:
            ValueError: the test split has no such sample.
        """
        test = self.data.test
        if sample is None:
            return test
        row_of = {number: row for row, number in enumerate(test.sample.tolist())}
        missing = [number for number in sample.tolist() if number not in row_of]
        if missing:
            known = ", ".join(map(str, list(row_of)[:N_LISTED]))
            raise ValueError(
                f"The test split of {self.network.dataset} has no sample {missing[0]}; it has "
                f"{len(row_of)}: {known}, ..."
            )
        rows = torch.tensor([row_of[number] for number in sample.tolist()])
        return Split(x=test.x[rows], y=test.y[rows], sample=test.sample[rows])

    @property
    def source(self) -> Source:
        """What loads the data."""
        return self.config.dataset(self.network.dataset)

    def method(self, name: str) -> Explainer:
        """Return a method of the config by its run id, or any one with its default settings."""
        explainer: Explainer = self._plugin("method", name)
        return explainer

    def metric(self, name: str) -> Metric:
        """Return a metric of the config by its run id, or any one with its default settings."""
        metric: Metric = self._plugin("metric", name)
        return metric

    def _plugin(self, kind: str, name: str) -> Any:
        """Return a plug-in; raises ValueError if there is none, or it cannot be used."""
        written = {one: dict(self.config.written_sections[f"{one}s"]) for one in KINDS}
        if name not in written[kind]:
            written[kind][name] = None
        entry = Resolver(written, self.config.plugins).entry(kind, name)
        if entry.settings is None:
            raise ValueError(f"{kind} {name} cannot be used: {entry.reason}.")
        return entry.settings

    def surrogate(self, run_id: str, x: torch.Tensor) -> Fitted:
        """Return a surrogate that the run has fitted to the network.

        Raises:
            ValueError: its fit failed.
            typer.Exit: it is not fitted yet.
        """
        path = self.folder / "surrogates" / f"{run_id}.safetensors"
        _require(path, f"{run_id} is not fitted to {self.name} yet", self.path)
        self._check_unchanged(run_id)
        try:
            found = load_surrogate(self.config, run_id, self.model, self.data, path)
        except Unavailable as error:
            raise ValueError(f"{run_id} could not be fitted to {self.name}: {error}") from error
        return Fitted(
            name=run_id,
            recipe=self.config.surrogate(run_id),
            surrogate=found,
            network=as_network(
                self.model,
                Inputs(x=x, sample=torch.arange(len(x)), is_single=False),
                self.data,
            ),
            data=self.data,
            seed=self.seed,
            seconds=0.0,
            forward_rows=0,
        )

    def _check_unchanged(self, run_id: str) -> None:
        """Raise ValueError if the network or its data have changed since the run fitted to them."""
        weights, _ = artefacts.read_tensors(self.folder / "model.safetensors")
        weights.pop(PREDICTED, None)
        data = artefacts.read_dataset(_data_of(self.folder))
        own = self.model.state_dict()
        is_same = weights.keys() == own.keys() and all(
            torch.equal(tensor, own[name].cpu()) for name, tensor in weights.items()
        )
        if not is_same or not torch.equal(data.train.x, self.data.train.x):
            raise ValueError(
                f"{self.name} has changed since {run_id} was fitted to it; run "
                f"`gpex-bench run {self.path}` again."
            )


def _data_of(folder: Path) -> Path:
    """Return the dataset of a network's results."""
    return folder.parents[1] / "data.safetensors"


def ready(path: Path, written: str | None, seed: int | None = None) -> Ready:
    """Return a network of a config.

    Args:
        path: of the config.
        written: run id of the network, or dataset/model; None: the only one.
        seed: of its training; None: the first of the config.

    Raises:
        ValueError: there is no such network, or it cannot be used.
        typer.Exit: the run trains it, and has not yet.
    """
    config = configs.load(path)
    network = _chosen(config, written)
    seeds = config.seeds_of(network.model)
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        listed = ", ".join(map(str, seeds))
        raise ValueError(f"--seed must be one of those of the config, {listed}, got {seed}.")

    folder = Path("results") / config.run / network.dataset / network.model / f"seed-{seed}"
    if config.model(network.model).is_given:
        model, data = _given(config, network, seed)
    else:
        model, data = _trained(config, network, folder, path)
    return Ready(path, config, network, seed, model, data, folder)


def _chosen(config: Config, written: str | None) -> Network:
    """Return the network that is meant."""
    names = {f"{one.dataset}/{one.model}": one for one in config.networks}
    fitting = [one for name, one in names.items() if written in (None, name, one.model)]
    if len(fitting) == 1:
        return fitting[0]
    got = "none" if written is None else repr(written)
    raise ValueError(
        f"--network must be one of those of the config, {', '.join(names)}, got {got}"
        f"{', which several have' if len(fitting) > 1 and written else ''}."
    )


def _given(config: Config, network: Network, seed: int) -> tuple[Model, Dataset]:
    """Return a given network and its data, checked as the run does."""
    data = prepare(config.dataset(network.dataset), config.is_trained_on(network.dataset))
    architecture = config.model(network.model)
    try:
        model = architecture.train(data, seed, lambda _: None)
        check_trained(architecture, model, data)
    except Exception as error:
        raise ValueError(
            f"{network.model} cannot be used: {error} `gpex-bench check` says more."
        ) from error
    return model, data


def _trained(config: Config, network: Network, folder: Path, path: Path) -> tuple[Model, Dataset]:
    """Return a network that the run has trained, and the data that it was trained on."""
    weights = folder / "model.safetensors"
    name = f"{network.model} on {network.dataset}"
    _require(weights, f"{name} is not trained yet", path)
    try:
        data = artefacts.read_dataset(_data_of(folder))
        return load_model(config, network.model, data, weights), data
    except Unavailable as error:
        raise ValueError(f"{name} cannot be used: {error}") from error


def _require(path: Path, what: str, config: Path) -> None:
    """End with status 1 where a run has not made a file yet."""
    if not path.is_file():
        typer.echo(
            f"gpex-bench: {what}: there is no {path}; make it with `gpex-bench run {config}`.",
            err=True,
        )
        raise typer.Exit(1)


def _numbers(samples: str) -> list[int]:
    """Return sample numbers that are separated by commas."""
    try:
        return [int(one) for one in samples.split(",")]
    except ValueError as error:
        raise ValueError(
            f"--samples must be whole numbers separated by commas, or {DRAWN}, got {samples!r}."
        ) from error

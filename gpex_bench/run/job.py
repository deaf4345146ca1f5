"""A job of the workflow: its files, read on demand, and the sidecars of what it writes.

Paths and wildcards are handled in `gpex_bench.run`, and only here: the stages get values.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from torch import Tensor

from gpex_bench.config import Config
from gpex_bench.run import artefacts
from gpex_bench.run.checkpoints import LoggedProgress
from gpex_bench.run.orders import Order
from gpex_bench.tables.words import WITHOUT_NETWORK, wording
from gpex_bench.types import Dataset, Kind, Model, Need, Study, Surrogate, Task
from gpex_bench.types.strata import agreed

S = TypeVar("S", bound=Study)
log = logging.getLogger("gpex_bench")


class Unavailable(Exception):
    """Something that an earlier job could not make, with the status and the reason of that."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(wording(status, reason))
        self.status = status
        self.reason = reason


class NotTrained(Unavailable):
    """A network whose training failed, or that broke a promise afterwards."""


class NotFitted(Unavailable):
    """A surrogate whose fit failed, or that does not apply."""


@dataclass(frozen=True)
class SeedTask:
    """The inputs of a method on the network of one training seed, or why they are missing."""

    seed: int
    task: Task | None  # None: there is no network
    status: str = "ok"  # of the network, or of the surrogate that the method uses
    reason: str = ""
    # why the network does not offer what its architecture does, by need
    withdrawn: Mapping[str, str] = field(default_factory=dict)

    def lacks(self, needs: Collection[Need]) -> str:
        """Return why the network cannot give what an explainer needs; "" if it can."""
        reasons = [
            f"needs {need}; {self.withdrawn[need]}"
            for need in sorted(needs)
            if need in self.withdrawn
        ]
        return "; ".join(reasons)

    def needed(self) -> Task:
        """Return the task; raises NotTrained if there is none."""
        if self.task is None:
            raise NotTrained(self.status, self.reason)
        return self.task


class Job:
    """A job with its files read on demand."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.wildcards: dict[str, str] = dict(order.wildcards)
        self.config: Config = order.config
        self.folder = order.folder
        self.params = order.params
        self.name = order.name

    def path(self, name: str) -> Path:
        """Return the only input or output of this name."""
        (path,) = self.paths(name)
        return path

    def paths(self, name: str) -> list[Path]:
        """Return all inputs or outputs of this name, in the order of the rule.

        Of an input and an output of the same name, the output.
        """
        outputs = self.order.outputs
        return list(outputs[name] if name in outputs else self.order.inputs[name])

    @cached_property
    def inputs(self) -> list[Path]:
        """Return every input artefact, without sidecars."""
        files = [file for named in self.order.inputs.values() for file in named]
        return [file for file in files if file.suffix not in (".json", ".py")]

    @cached_property
    def data(self) -> Dataset:
        """Return the dataset."""
        return artefacts.read_dataset(self.path("data"))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds of the network that the job is about."""
        return self.config.seeds_of(self.wildcards["model"])

    @cached_property
    def predicted(self) -> Tensor | None:
        """Return what decides which test samples are explained; None without any network."""
        return load_predicted(self.paths("models"), self.data.kind)

    def model(self, path: Path) -> Model:
        """Return a trained network; raises NotTrained if it cannot be used."""
        return load_model(self.config, self.wildcards["model"], self.data, path)

    def surrogate(self, path: Path, run_id: str, model: Model) -> Surrogate:
        """Return a fitted surrogate; raises NotFitted if there is none."""
        return load_surrogate(self.config, run_id, model, self.data, path)

    def study(self, kind: type[S]) -> S:
        """Return the study of the config.

        Raises:
            ValueError: the config has no section of this study.
        """
        study = self.config.study
        if not isinstance(study, kind):
            raise ValueError(
                f"This config must have the section of the study {kind.__name__} for the rule "
                f"{self.order.rule}, got {self.config.study_name or 'none'}; add it."
            )
        return study

    def progress(self, seed: int, output: Path | None = None) -> LoggedProgress:
        """Return the progress of one seed, which keeps checkpoints beside an output, if given."""
        return LoggedProgress(f"{self.name} seed {seed}", output)

    def describe(
        self,
        path: Path,
        *,
        seed: int | None = None,
        key: Mapping[str, Any] | None = None,
        **entries: Any,
    ) -> None:
        """Write the sidecar of an output.

        Args:
            path: the output.
            seed: the training seed that it belongs to; None if it belongs to all.
            key: what distinguishes it from other outputs besides the wildcards and the seed.
            entries: kind, cost, status, ...
        """
        full_key: dict[str, Any] = {**self.wildcards, **(key or {})}
        inputs = self.inputs
        if seed is not None:
            full_key["seed"] = seed
            inputs = [file for file in inputs if artefacts.read_key(file).get("seed", seed) == seed]

        params = {name: str(value) for name, value in self.params.items() if name != "code"}
        artefacts.describe(
            path,
            key=full_key,
            params=params,
            inputs=inputs,
            seed=seed,
            fingerprint=self.params.get("code"),
            **entries,
        )

    def tasks(self) -> list[SeedTask]:
        """Return the task of every training seed, with the surrogate that the method uses."""
        explainer = self.config.method(self.wildcards["method"])
        name = None if explainer is None else explainer.surrogate
        return [self._task(number, seed, name) for number, seed in enumerate(self.seeds)]

    def _task(self, number: int, seed: int, name: str | None) -> SeedTask:
        """Return the task of a seed, with the surrogate of this run id, if any."""
        path = self.paths("models")[number]
        try:
            model = self.model(path)
        except NotTrained as error:
            return SeedTask(seed, None, error.status, without_network(error))

        surrogate, status, reason = None, "ok", ""
        if name is not None:
            try:
                surrogate = self.surrogate(self.paths("surrogates")[number], name, model)
            except NotFitted as error:
                status, reason = error.status, f"its surrogate {name} is missing ({error})"
        task = Task(model=model, data=self.data, surrogate=surrogate, seed=seed)
        withdrawn = artefacts.read_sidecar(path).get("withdrawn", {})
        return SeedTask(seed, task, status, reason, withdrawn)


def without_network(error: NotTrained) -> str:
    """Return the reason of everything that was not made because its network cannot be used."""
    return f"{WITHOUT_NETWORK}: {error.reason}"


def load_model(config: Config, run_id: str, data: Dataset, path: Path) -> Model:
    """Return a trained network in eval mode; raises NotTrained if it cannot be used."""
    from gpex_bench.stages.train import rebuilt

    tensors, note = artefacts.read_tensors(path)
    status = note.get("status", "ok")
    if status != "ok":
        raise NotTrained(status, note["reason"])
    return rebuilt(config.model(run_id), data, tensors)


def load_predicted(paths: Iterable[Path], kind: Kind) -> Tensor | None:
    """Return what most networks of the training seeds predict for each test sample.

    Args:
        paths: the files of the networks; those whose training failed are left out.
        kind: what they predict.
    """
    from gpex_bench.stages.train import PREDICTED

    stored = [artefacts.read_tensors(path)[0] for path in paths]
    predictions = [tensors[PREDICTED] for tensors in stored if PREDICTED in tensors]
    return agreed(predictions, kind) if predictions else None


def load_surrogate(
    config: Config, run_id: str, model: Model, data: Dataset, path: Path
) -> Surrogate:
    """Return a fitted surrogate; raises NotFitted if there is none."""
    from gpex_bench.surrogates.agreement.calibration import restored

    tensors, note = artefacts.read_tensors(path)
    if note["status"] != "ok":
        raise NotFitted(note["status"], note["reason"])
    return restored(config.surrogate(run_id), model, data, tensors)


def write_cell_table(this: Job, path: Path, table: pd.DataFrame, seed: int, **entries: Any) -> None:
    """Write a table of one seed with its key columns first."""
    table.insert(0, "seed", seed)
    table.insert(0, "model", this.wildcards["model"])
    table.insert(0, "dataset", this.wildcards["dataset"])

    artefacts.write_table(path, table)
    this.describe(path, seed=seed, **entries)

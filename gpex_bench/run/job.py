"""The jobs of the workflow: read a rule's inputs, call one function of `gpex_bench.stages`, write its outputs.

All paths, wildcards and sidecars are handled in this package, and only here. A rule runs the function of its name.
"""

from __future__ import annotations

import importlib
import logging
import random
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor

from gpex_bench.config import Config, parse
from gpex_bench.plugins.registry import study_names
from gpex_bench.run import artefacts
from gpex_bench.tables.words import wording
from gpex_bench.types import Dataset, Model, Progress, Study, Surrogate, Task

log = logging.getLogger("gpex_bench")
S = TypeVar("S", bound=Study)


class NotFitted(Exception):
    """A surrogate whose fit failed; the message has the status and the reason."""


class Job:
    """A Snakemake job with its files read on demand."""

    def __init__(self, snakemake: Any) -> None:
        self.snakemake = snakemake
        self.wildcards: dict[str, str] = dict(snakemake.wildcards.items())
        self.config: Config = parse(snakemake.config)
        words = [
            snakemake.rule,
            *(self.wildcards[key] for key in ("dataset", "model") if key in self.wildcards),
        ]
        self.name = " ".join(words)

    def path(self, name: str) -> Path:
        """Return the only input or output of this name."""
        files = (
            self.snakemake.output
            if name in self.snakemake.output.keys()  # noqa: SIM118
            else self.snakemake.input
        )
        return Path(files[name])

    def paths(self, name: str) -> list[Path]:
        """Return all inputs or outputs of this name, one a seed."""
        files = (
            self.snakemake.output
            if name in self.snakemake.output.keys()  # noqa: SIM118
            else self.snakemake.input
        )
        found = files[name]
        return [Path(found)] if isinstance(found, str) else [Path(file) for file in found]

    @cached_property
    def inputs(self) -> list[Path]:
        """Return every input artefact, without sidecars."""
        return [Path(file) for file in self.snakemake.input if not file.endswith((".json", ".py"))]

    @cached_property
    def data(self) -> Dataset:
        """Return the dataset."""
        return artefacts.read_dataset(self.path("data"))

    def model(self, path: Path) -> Model:
        """Return a trained network."""
        return load_model(self.config, self.wildcards["model"], self.data, path)

    def surrogate(self, path: Path, run_id: str, model: Model) -> Surrogate:
        """Return a fitted surrogate; raises NotFitted if its fit failed."""
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
                f"{self.snakemake.rule}, got {self.config.study_name or 'none'}; add it."
            )
        return study

    def progress(self, seed: int, output: Path | None = None) -> Said:
        """Return what reports the progress of one seed, and keeps a checkpoint beside the output, if it is named."""
        return Said(f"{self.name} seed {seed}", output)

    def describe(self, path: Path, *, seed: int | None = None, **entries: Any) -> None:
        """Write the sidecar of an output."""
        key = dict(self.wildcards) | ({} if seed is None else {"seed": str(seed)})
        params = {
            name: str(value) for name, value in self.snakemake.params.items() if name != "code"
        }
        code = self.snakemake.params.get("code")
        others = (
            {f"seed-{other}" for other in self.config.seeds} - {f"seed-{seed}"}
            if seed is not None
            else set()
        )
        inputs = [file for file in self.inputs if not others & set(file.parts)]
        artefacts.describe(
            path, key=key, params=params, inputs=inputs, seed=seed, fingerprint=code, **entries
        )

    def tasks(self) -> list[tuple[int, Task, str]]:
        """Return the task of every training seed, with the surrogate that the method uses, or why it is not there."""
        explainer = self.config.method(self.wildcards["method"])
        name = None if explainer is None else explainer.surrogate
        surrogates = (
            self.paths("surrogates") if name is not None else [None] * len(self.config.seeds)
        )
        tasks = []
        for seed, model_path, surrogate_path in zip(
            self.config.seeds, self.paths("models"), surrogates, strict=True
        ):
            model = self.model(model_path)
            surrogate, problem = None, ""
            if name is not None and surrogate_path is not None:
                try:
                    surrogate = self.surrogate(surrogate_path, name, model)
                except NotFitted as error:
                    problem = f"its surrogate {name} {error}"
            tasks.append(
                (seed, Task(model=model, data=self.data, surrogate=surrogate, seed=seed), problem)
            )
        return tasks


def load_model(config: Config, run_id: str, data: Dataset, path: Path) -> Model:
    """Return a trained network in eval mode."""
    tensors, _ = artefacts.read_tensors(path)
    with torch.random.fork_rng(devices=[]):
        model = config.model(run_id).build(data)
    model.load_state_dict(tensors)
    return model.eval().requires_grad_(False)


def load_surrogate(
    config: Config, run_id: str, model: Model, data: Dataset, path: Path
) -> Surrogate:
    """Return a fitted surrogate; raises NotFitted if its fit failed."""
    tensors, note = artefacts.read_tensors(path)
    if note["status"] != "ok":
        raise NotFitted(wording(note["status"], note["reason"]))
    return config.surrogate(run_id).restore(model, data, tensors)


class Said(Progress):
    """Progress that is said on the screen and in the log; checkpoints are in `<output>.checkpoint`."""

    def __init__(self, who: str, output: Path | None = None) -> None:
        self.who = who
        self.checkpoint = None if output is None else output.with_name(f"{output.name}.checkpoint")

    def __call__(self, text: str) -> None:
        """Say one line."""
        log.info("%s: %s", self.who, text)

    def keep(self, state: Mapping[str, Tensor]) -> None:
        """Write a checkpoint in place of the last one."""
        if self.checkpoint is not None:
            artefacts.write_checkpoint(self.checkpoint, state)

    def kept(self) -> Mapping[str, Tensor] | None:
        """Return the last checkpoint; raises DamagedFile if it cannot be trusted."""
        found = None if self.checkpoint is None else artefacts.read_checkpoint(self.checkpoint)
        if found is not None:
            self(f"found the checkpoint {self.checkpoint}")
        return found

    def forget(self) -> None:
        """Remove the checkpoint of work that is done."""
        if self.checkpoint is not None:
            self.checkpoint.unlink(missing_ok=True)


JOBS: dict[str, Callable[[Job], None]] = {}


def job(function: Callable[[Job], None]) -> Callable[[Job], None]:
    """Register a function as the job of the rule of the same name."""
    JOBS[function.__name__] = function
    return function


def run(snakemake: Any) -> None:
    """Run the job of a rule: one thread count, a log file, and the progress on the screen."""
    torch.set_num_threads(snakemake.threads)
    torch.manual_seed(0)  # nothing may depend on it; set so that a fault shows the same way twice
    random.seed(0)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if snakemake.log:
        handlers.append(logging.FileHandler(snakemake.log[0], mode="w"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=handlers, force=True)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").propagate = False
    for module in ("run.aggregate", "run.cells", "run.pages"):
        importlib.import_module(f"gpex_bench.{module}")  # they register their jobs
    for name in study_names():
        importlib.import_module(f"gpex_bench.studies.{name}.jobs")

    this = Job(snakemake)
    try:
        JOBS[snakemake.rule](this)
    except Exception as error:
        log.error("%s failed: %s: %s", this.name, type(error).__name__, error)
        raise


def write_cell_table(this: Job, path: Path, table: pd.DataFrame, seed: int, **entries: Any) -> None:
    """Write a table of one seed with its key columns first."""
    for name, value in (
        ("seed", seed),
        ("model", this.wildcards["model"]),
        ("dataset", this.wildcards["dataset"]),
    ):
        table.insert(0, name, value)
    artefacts.write_table(path, table)
    this.describe(path, seed=seed, **entries)

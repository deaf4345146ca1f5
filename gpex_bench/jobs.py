"""The jobs of the workflow: read a rule's inputs, call one function of `gpex_bench.stages`, write its outputs.

Each function takes Snakemake's job object. All paths, wildcards and sidecars are handled here, and only here.
"""

from __future__ import annotations

import logging
import random
import re
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpex_bench import io
from gpex_bench.config import Config, parse
from gpex_bench.types import Dataset, Model, Surrogate, Task

log = logging.getLogger("gpex_bench")


class Job:
    """A Snakemake job with its files read on demand."""

    def __init__(self, snakemake: Any) -> None:
        self.snakemake = snakemake
        self.wildcards: dict[str, str] = dict(snakemake.wildcards.items())
        self.config: Config = parse(snakemake.config)
        words = [snakemake.rule, *(self.wildcards[key] for key in ("dataset", "model") if key in self.wildcards)]
        self.name = " ".join(words)

    def path(self, name: str) -> Path:
        """Return the only input or output of this name."""
        files = self.snakemake.output if name in self.snakemake.output.keys() else self.snakemake.input  # noqa: SIM118
        return Path(files[name])

    def paths(self, name: str) -> list[Path]:
        """Return all inputs or outputs of this name, one a seed."""
        files = self.snakemake.output if name in self.snakemake.output.keys() else self.snakemake.input  # noqa: SIM118
        found = files[name]
        return [Path(found)] if isinstance(found, str) else [Path(file) for file in found]

    @cached_property
    def inputs(self) -> list[Path]:
        """Return every input artefact, without sidecars."""
        return [Path(file) for file in self.snakemake.input if not file.endswith((".json", ".py"))]

    @cached_property
    def data(self) -> Dataset:
        """Return the dataset."""
        return io.read_dataset(self.path("data"))

    def model(self, path: Path) -> Model:
        """Return a trained network."""
        tensors, _ = io.read_tensors(path)
        with torch.random.fork_rng(devices=[]):
            model = self.config.model(self.wildcards["model"]).build(self.data)
        model.load_state_dict(tensors)
        return model.eval().requires_grad_(False)

    def surrogate(self, path: Path, run_id: str, model: Model) -> Surrogate:
        """Return a fitted surrogate."""
        tensors, _ = io.read_tensors(path)
        return self.config.surrogate(run_id).restore(model, self.data, tensors)

    def progress(self, seed: int) -> Callable[[str], None]:
        """Return a function that reports progress of one seed."""
        return lambda text: log.info("%s seed %s: %s", self.name, seed, text)

    def describe(self, path: Path, *, seed: int | None = None, **entries: Any) -> None:
        """Write the sidecar of an output."""
        key = dict(self.wildcards) | ({} if seed is None else {"seed": str(seed)})
        params = {name: str(value) for name, value in self.snakemake.params.items() if name != "code"}
        code = self.snakemake.params.get("code")
        io.describe(path, key=key, params=params, inputs=self.inputs, seed=seed, fingerprint=code, **entries)

    def tasks(self) -> list[tuple[int, Task]]:
        """Return the task of every training seed, with the surrogate that the method uses."""
        explainer = self.config.method(self.wildcards["method"])
        name = None if explainer is None else explainer.surrogate
        surrogates = self.paths("surrogates") if name is not None else [None] * len(self.config.seeds)
        tasks = []
        for seed, model_path, surrogate_path in zip(self.config.seeds, self.paths("models"), surrogates, strict=True):
            model = self.model(model_path)
            surrogate = None
            if name is not None and surrogate_path is not None:
                surrogate = self.surrogate(surrogate_path, name, model)
            tasks.append((seed, Task(model=model, data=self.data, surrogate=surrogate, seed=seed)))
        return tasks


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
    this = Job(snakemake)
    try:
        JOBS[snakemake.rule](this)
    except Exception as error:
        log.error("%s failed: %s: %s", this.name, type(error).__name__, error)
        raise


@job
def prepare(this: Job) -> None:
    """Config → data."""
    from gpex_bench.stages.prepare import prepare

    path = this.path("data")
    data = prepare(this.config.dataset(this.wildcards["dataset"]))
    io.write_dataset(path, data)
    this.describe(path, kind="dataset")


@job
def train(this: Job) -> None:
    """Data → network."""
    from gpex_bench.stages.train import train

    seed, path = int(this.wildcards["seed"]), this.path("network")
    model, accuracies = train(this.config.model(this.wildcards["model"]), this.data, seed, this.progress(seed))
    io.write_tensors(path, model.state_dict(), accuracies)
    this.describe(path, kind="model", seed=seed, accuracies=accuracies)
    log.info("%s seed %s: test accuracy %.4f", this.name, seed, accuracies["test_accuracy"])


@job
def fit(this: Job) -> None:
    """Data, network → surrogate."""
    from gpex_bench.stages.fit import fit

    seed, path = int(this.wildcards["seed"]), this.path("surrogate")
    recipe = this.config.surrogate(this.wildcards["surrogate"])
    surrogate = fit(recipe, this.model(this.path("network")), this.data, seed, this.progress(seed))
    io.write_tensors(path, surrogate.state_dict())
    this.describe(path, kind="surrogate", seed=seed)


@job
def agree(this: Job) -> None:
    """Network, surrogate → how well they agree."""
    from gpex_bench.stages.agree import agree

    run_id, seed = this.wildcards["surrogate"], int(this.wildcards["seed"])
    model = this.model(this.path("network"))
    surrogate = this.surrogate(this.path("surrogate"), run_id, model)
    agreement, predictions = agree(model, surrogate, this.data, seed)
    for name, table in (("agreement", agreement), ("predictions", predictions)):
        table.insert(0, "surrogate", run_id)
        _write(this, this.path(name), table, seed, kind=name)


@job
def explain(this: Job) -> None:
    """Network, surrogate → explanations of every seed."""
    from gpex_bench.isolation import FAILED, Outcome
    from gpex_bench.stages.explain import Explained, explain
    from gpex_bench.stages.queries import queries

    method, limits = this.wildcards["method"], this.config.explain
    entry, explainer = this.config.entry("method", method), this.config.method(method)
    for (seed, task), path in zip(this.tasks(), this.paths("explanations"), strict=True):
        query = queries(task.model, task.data, limits.samples)
        if explainer is None:
            result = Explained(Outcome(FAILED, reason=f"{entry.plugin.path.name} {entry.plugin.reason}"), len(query.x))
        else:
            result = explain(explainer, task, query, limits.timeout_s)
        outcome = result.outcome
        rows = {key: getattr(result, key) for key in ("n_samples", "forward_rows", "backward_rows", "surrogate_rows")}
        note: dict[str, Any] = {"status": outcome.status, "reason": _portable(outcome.reason), **rows}
        arrays = outcome.value or {}
        if explainer is not None:
            note["explains"] = explainer.explains.__name__
        io.write_tensors(path, {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}, note)
        cost = {"wall_seconds": outcome.wall_seconds, "peak_bytes": outcome.peak_bytes, **rows}
        this.describe(path, seed=seed, kind="explanation", cost=cost, trace=_portable(outcome.trace), **_status(note))
        done = "ok" if outcome.value is not None else f"{outcome.status}: {outcome.reason}"
        log.info("%s %s seed %s: %s, %.1f s", this.name, method, seed, done, outcome.wall_seconds)


def _status(note: dict[str, Any]) -> dict[str, Any]:
    """Return what the sidecar repeats of an explanation's note."""
    return {key: note[key] for key in ("status", "reason")}


def _portable(text: str) -> str:
    """Return a text without this machine's folders and memory addresses: two runs give the same bytes."""
    text = text.replace(f"{Path.cwd()}/", "").replace(f"{sys.prefix}/", "")
    return re.sub(r"0x[0-9a-f]{6,}", "0x...", text)


@job
def score(this: Job) -> None:
    """Explanations → scores and removal curves of every seed."""
    from gpex_bench.stages.queries import queries
    from gpex_bench.stages.score import CURVES, SCORES, empty, score
    from gpex_bench.types import Case

    method, limits = this.wildcards["method"], this.config.explain
    explainer, names = this.config.method(method), list(this.snakemake.params.metrics)
    metrics = {name: this.config.metric(name) for name in names}
    for number, (seed, task) in enumerate(this.tasks()):
        explanation, note = io.read_explanation(this.paths("explanations")[number])
        if explanation is None or explainer is None:
            scores, curves, failed = empty(SCORES), empty(CURVES), {}
            log.info("%s %s seed %s: nothing to score, the method %s", this.name, method, seed, note["status"])
        else:
            query = queries(task.model, task.data, limits.samples)
            case = Case(task=task, query=query, explanation=explanation, explainer=explainer)
            scores, curves, failed = score(metrics, case, limits.robustness_samples, limits.timeout_s)
            log.info("%s %s seed %s: %s scores", this.name, method, seed, len(scores))
        failed = {name: _portable(reason) for name, reason in failed.items()}
        for name, table in (("scores", scores), ("curves", curves)):
            table.insert(0, "method", method)
            _write(this, this.paths(name)[number], table, seed, kind=name, failed_metrics=failed)


def _write(this: Job, path: Path, table: Any, seed: int, **entries: Any) -> None:
    """Write a table of one seed with its key columns first."""
    for name, value in (("seed", seed), ("model", this.wildcards["model"]), ("dataset", this.wildcards["dataset"])):
        table.insert(0, name, value)
    io.write_table(path, table)
    this.describe(path, seed=seed, **entries)

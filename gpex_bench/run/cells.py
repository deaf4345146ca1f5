"""The jobs of single cells: data, networks, surrogates, explanations and scores."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpex_bench.run import artefacts
from gpex_bench.run.job import Job, NotFitted, Said, job, log, write_cell_table
from gpex_bench.tables.words import wording
from gpex_bench.types import Surrogate

CHECKPOINT = re.compile(
    r"^\w+: (The checkpoint of this fit|.+\.checkpoint is damaged)"
)  # reasons of `matching`, `io`


@job
def prepare(this: Job) -> None:
    """Config → data."""
    from gpex_bench.stages.prepare import prepare

    path = this.path("data")
    data = prepare(this.config.dataset(this.wildcards["dataset"]))
    artefacts.write_dataset(path, data)
    this.describe(path, kind="dataset")


@job
def train(this: Job) -> None:
    """Data → network."""
    from gpex_bench.stages.train import train

    seed, path = int(this.wildcards["seed"]), this.path("network")
    model, accuracies = train(
        this.config.model(this.wildcards["model"]), this.data, seed, this.progress(seed)
    )
    artefacts.write_tensors(path, model.state_dict(), accuracies)
    this.describe(path, kind="model", seed=seed, accuracies=accuracies)
    log.info("%s seed %s: test accuracy %.4f", this.name, seed, accuracies["test_accuracy"])


@job
def fit(this: Job) -> None:
    """Data, networks → surrogates of every seed. A fit that fails leaves the reason and no tensors.

    Raises:
        ValueError: a checkpoint is damaged or foreign. That is no result of the fit: were it stored as one, deleting
            the checkpoint, as the message says, would not make the job run again.
    """
    from gpex_bench.stages.fit import fit

    run_id = this.wildcards["surrogate"]
    recipe = this.config.surrogate(run_id)
    done: list[Said] = []
    for seed, model, path in zip(
        this.config.seeds, this.paths("models"), this.paths("surrogates"), strict=True
    ):
        store = partial(artefacts.write_tensors, path, note={"status": "ok", "reason": ""})
        progress = this.progress(seed, path)
        outcome = fit(
            recipe, this.model(model), this.data, seed=seed, progress=progress, store=store
        )
        note = {"status": outcome.status, "reason": _portable(outcome.reason)}
        if CHECKPOINT.search(outcome.reason):
            raise ValueError(f"{outcome.reason} It is {progress.checkpoint}.")
        if outcome.status != "ok":
            artefacts.write_tensors(path, {}, note)
            log.warning("%s %s seed %s %s", this.name, run_id, seed, wording(**note))
        cost = {"wall_seconds": outcome.wall_seconds, "peak_bytes": outcome.peak_bytes}
        this.describe(
            path, seed=seed, kind="surrogate", cost=cost, trace=_portable(outcome.trace), **note
        )
        done += [progress] if outcome.status == "ok" else []
    for progress in (
        done
    ):  # not before: a killed job loses the outputs of all seeds, and goes on from the checkpoints
        progress.forget()


@job
def agree(this: Job) -> None:
    """Networks, surrogates → how well they agree, for every seed."""
    from gpex_bench.stages.agree import agree

    run_id = this.wildcards["surrogate"]
    device = getattr(this.config.surrogate(run_id), "device", "cpu")  # where its recipe fits it
    for number, seed in enumerate(this.config.seeds):
        model = this.model(this.paths("models")[number])
        try:
            surrogate: Surrogate | None = this.surrogate(
                this.paths("surrogates")[number], run_id, model
            )
        except NotFitted as error:
            log.info(
                "%s %s seed %s: nothing to compare, the fit %s", this.name, run_id, seed, error
            )
            surrogate = None
        found = agree(model, surrogate, this.data, seed, device)
        for name, table in zip(("agreement", "predictions"), found, strict=True):
            table.insert(0, "surrogate", run_id)
            write_cell_table(this, this.paths(name)[number], table, seed, kind=name)


@job
def explain(this: Job) -> None:
    """Network, surrogate → explanations of every seed."""
    from gpex_bench.stages.explain import explain

    method, limits = this.wildcards["method"], this.config.explain
    entry, explainer = this.config.entry("method", method), this.config.method(method)
    for (seed, task, problem), path in zip(this.tasks(), this.paths("explanations"), strict=True):
        result = explain(None if problem else explainer, task, limits.samples, limits.timeout_s)
        outcome = result.outcome
        rows = {
            key: getattr(result, key) for key in ("forward_rows", "backward_rows", "surrogate_rows")
        }
        rows["n_samples"] = len(result.query.x)
        reason = _portable(entry.reason or problem or outcome.reason)
        note: dict[str, Any] = {"status": outcome.status, "reason": reason, **rows}
        tensors = {
            name: torch.from_numpy(np.array(array)) for name, array in (outcome.value or {}).items()
        }
        if explainer is not None:
            note["explains"] = explainer.explains.__name__
        artefacts.write_explanation(path, result.query, tensors, note)
        cost = {"wall_seconds": outcome.wall_seconds, "peak_bytes": outcome.peak_bytes, **rows}
        this.describe(
            path,
            seed=seed,
            kind="explanation",
            cost=cost,
            trace=_portable(outcome.trace),
            **_status(note),
        )
        done = "ok" if outcome.value is not None else f"{outcome.status}: {note['reason']}"
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
    from gpex_bench.measurements.curves import Curves
    from gpex_bench.stages.queries import queries
    from gpex_bench.stages.score import Limits, Scored, empty, score
    from gpex_bench.types import Case

    method, limits = this.wildcards["method"], this.config.explain
    explainer, names = this.config.method(method), list(this.snakemake.params.metrics)
    metrics = {name: this.config.metric(name) for name in names}
    curves = [Curves(**key) for key in this.snakemake.params.curves]
    costly = Limits(limits.robustness_samples, limits.fill_samples, limits.fills, limits.timeout_s)
    for number, (seed, task, _) in enumerate(this.tasks()):
        path = this.paths("explanations")[number]
        explanation, note = artefacts.read_explanation(path)
        if explanation is None or explainer is None:
            query, found = None, Scored(empty(), {}, {})
            log.info(
                "%s %s seed %s: nothing to score, the method %s",
                this.name,
                method,
                seed,
                note["status"],
            )
        else:
            query = queries(task.model, task.data, limits.samples)
            artefacts.check_same_query(path, query)
            case = Case(task=task, query=query, explanation=explanation, explainer=explainer)
            found = score(metrics, curves, case, costly)
            log.info(
                "%s %s seed %s: %s scores, %s curves",
                this.name,
                method,
                seed,
                len(found.scores),
                len(found.curves),
            )
        found.scores.insert(0, "method", method)
        failed = {name: _portable(reason) for name, reason in found.failed.items()}
        write_cell_table(
            this,
            this.paths("scores")[number],
            found.scores,
            seed,
            kind="scores",
            failed_metrics=failed,
        )
        artefacts.write_curves(this.paths("curves")[number], found.curves, query)
        this.describe(this.paths("curves")[number], seed=seed, kind="curves")

"""The jobs of single cells: data, networks, surrogates, explanations and scores."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gpex_bench.run import artefacts
from gpex_bench.run.checkpoints import LoggedProgress
from gpex_bench.run.dispatch import job
from gpex_bench.run.job import (
    Job,
    NotTrained,
    SeedTask,
    Unavailable,
    log,
    without_network,
    write_cell_table,
)
from gpex_bench.tables.words import wording
from gpex_bench.types import Model, Surrogate
from gpex_bench.types.demands import UnusableCheckpoint

if TYPE_CHECKING:
    from gpex_bench.stages.explain import Explained
    from gpex_bench.stages.score import Scored


@job
def prepare(this: Job) -> None:
    """Config → data."""
    from gpex_bench.contract.datasets import notes
    from gpex_bench.stages.prepare import prepare

    path = this.path("data")
    config, name = this.config, this.wildcards["dataset"]
    data = prepare(config.dataset(name), config.is_trained_on(name))
    found = notes(data)
    for note in found:
        log.info("%s: %s", this.name, note)
    artefacts.write_dataset(path, data)
    this.describe(path, kind="dataset", unit=data.unit, notes=found)


@job
def train(this: Job) -> None:
    """Data → network. One that fails, or breaks a promise, leaves the reason and no tensors."""
    from gpex_bench.stages.train import Checked, train_and_store
    from gpex_bench.tables.words import PERFORMANCE

    seed = int(this.wildcards["seed"])
    path = this.path("network")
    outcome = train_and_store(
        this.config.model(this.wildcards["model"]),
        this.data,
        seed,
        progress=this.progress(seed),
        store=partial(artefacts.write_tensors, path),
    )

    status: dict[str, Any] = {"status": outcome.status, "reason": _portable(outcome.reason)}
    checked = outcome.value or Checked({})
    if outcome.status != "ok":
        artefacts.write_tensors(path, {}, checked.note(**status))
        log.warning("%s seed %s %s", this.name, seed, wording(**status))
    for need, reason in checked.withdrawn.items():
        log.warning("%s seed %s does not offer %s: %s", this.name, seed, need, reason)

    trace = _portable(outcome.trace)
    entries: dict[str, Any] = {
        "performance": checked.reached,
        "withdrawn": checked.withdrawn,
        "rewriting": checked.rewriting,
    }
    this.describe(path, kind="model", seed=seed, trace=trace, **entries, **status)
    listed = [
        f"{word} {checked.reached[f'test_{name}']:.4f}"
        for name, word in PERFORMANCE.items()
        if f"test_{name}" in checked.reached
    ]
    log.info("%s seed %s: test %s", this.name, seed, ", ".join(listed) or "not measured")


@job
def fit(this: Job) -> None:
    """Data, networks → surrogates of every seed. A fit that fails leaves the reason and no tensors.

    Raises:
        UnusableCheckpoint: a checkpoint is damaged or belongs to another fit.
    """
    done = []
    for number, seed in enumerate(this.seeds):
        progress = _fit_seed(this, number, seed)
        if progress is not None:
            done.append(progress)

    # A killed job loses the outputs of all seeds and goes on from the checkpoints, so that none
    # is removed before all seeds are done.
    for progress in done:
        progress.forget()


def _fit_seed(this: Job, number: int, seed: int) -> LoggedProgress | None:
    """Fit the surrogate of one seed; return its progress if it succeeded."""
    from gpex_bench.contract.isolation import Outcome
    from gpex_bench.stages.fit import fit

    run_id = this.wildcards["surrogate"]
    path = this.paths("surrogates")[number]
    progress = this.progress(seed, path)
    try:
        outcome = fit(
            this.config.surrogate(run_id),
            this.model(this.paths("models")[number]),
            this.data,
            seed=seed,
            progress=progress,
            store=partial(artefacts.write_tensors, path, note={"status": "ok", "reason": ""}),
        )
    except NotTrained as error:
        outcome = Outcome(error.status, reason=without_network(error))
    except UnusableCheckpoint as error:
        raise type(error)(f"{error} It is {progress.checkpoint}.") from error

    note: dict[str, Any] = {"status": outcome.status, "reason": _portable(outcome.reason)}
    is_fitted = outcome.status == "ok"
    if not is_fitted:
        artefacts.write_tensors(path, {}, note)
        log.warning("%s %s seed %s %s", this.name, run_id, seed, wording(**note))

    cost = {"wall_seconds": outcome.wall_seconds, "peak_bytes": outcome.peak_bytes}
    trace = _portable(outcome.trace)
    this.describe(path, seed=seed, kind="surrogate", cost=cost, trace=trace, **note)
    return progress if is_fitted else None


@job
def agree(this: Job) -> None:
    """Networks, surrogates → how well they agree, for every seed."""
    from gpex_bench.stages.agree import agree

    run_id = this.wildcards["surrogate"]
    device = getattr(this.config.surrogate(run_id), "device", "cpu")  # where its recipe fits it

    for number, seed in enumerate(this.seeds):
        model: Model | None = None
        surrogate: Surrogate | None = None
        try:
            model = this.model(this.paths("models")[number])
            surrogate = this.surrogate(this.paths("surrogates")[number], run_id, model)
        except Unavailable as error:
            message = "%s %s seed %s: nothing to compare, %s"
            log.info(message, this.name, run_id, seed, error)

        tables = agree(model, surrogate, this.data, seed, device)
        for name, table in zip(("agreement", "predictions"), tables, strict=True):
            table.insert(0, "surrogate", run_id)
            write_cell_table(this, this.paths(name)[number], table, seed, kind=name)


@job
def explain(this: Job) -> None:
    """Network, surrogate → explanations of every seed."""
    method = this.wildcards["method"]
    explainer = this.config.method(method)

    for number, one in enumerate(this.tasks()):
        result = _explained(this, one)
        outcome = result.outcome

        reason = _portable(outcome.reason)
        status: dict[str, Any] = {"status": outcome.status, "reason": reason}
        rows = {
            "n_samples": 0 if result.query is None else len(result.query.x),
            "forward_rows": result.forward_rows,
            "backward_rows": result.backward_rows,
            "surrogate_rows": result.surrogate_rows,
        }
        note = {**status, **rows}
        if result.missing is not None:
            note |= {
                "worst_missing": result.missing.worst,
                "median_missing": result.missing.median,
                "allowed_missing": result.missing.allowed,
            }
        if explainer is not None:
            note["explains"] = explainer.explains.__name__

        tensors = {
            name: torch.from_numpy(np.array(array)) for name, array in (outcome.value or {}).items()
        }
        path = this.paths("explanations")[number]
        artefacts.write_explanation(path, result.query, tensors, note)

        cost = {"wall_seconds": outcome.wall_seconds, "peak_bytes": outcome.peak_bytes, **rows}
        trace = _portable(outcome.trace)
        this.describe(path, seed=one.seed, kind="explanation", cost=cost, trace=trace, **status)

        words = "ok" if outcome.status == "ok" else wording(**status)
        message = "%s %s seed %s: %s, %.1f s"
        log.info(message, this.name, method, one.seed, words, outcome.wall_seconds)


def _explained(this: Job, one: SeedTask) -> Explained:
    """Return what became of the cell of one seed; nothing is asked where something is missing."""
    from gpex_bench.contract.isolation import FAILED, NOT_APPLICABLE, Outcome
    from gpex_bench.stages.explain import Explained, explain_drawn

    method, limits = this.wildcards["method"], this.config.explain
    explainer = this.config.method(method)
    if explainer is None:
        return Explained(Outcome(FAILED, reason=this.config.entry("method", method).reason), None)
    if one.task is None or one.reason:
        return Explained(Outcome(one.status, reason=one.reason), None)
    missing = one.lacks(explainer.needs)
    if missing:
        return Explained(Outcome(NOT_APPLICABLE, reason=missing), None)
    return explain_drawn(explainer, one.task, limits.samples, limits.timeout_s, this.predicted)


def _portable(text: str) -> str:
    """Return a text without folders and memory addresses: two runs give the same bytes."""
    text = text.replace(f"{Path.cwd()}/", "").replace(f"{sys.prefix}/", "")
    return re.sub(r"0x[0-9a-f]{6,}", "0x...", text)


@job
def score(this: Job) -> None:
    """Explanations → scores and removal curves of every seed."""
    from gpex_bench.measurements.curves import Curves
    from gpex_bench.stages.queries import queries
    from gpex_bench.stages.score import Limits, Scored, empty, score
    from gpex_bench.types import Case

    method, settings = this.wildcards["method"], this.config.explain
    explainer = this.config.method(method)
    metrics = {name: this.config.metric(name) for name in this.params["metrics"]}
    curves = [Curves(**key) for key in this.params["curves"]]
    variants = [Curves(**key) for key in this.params["variants"]]
    limits = Limits(settings.robustness_samples, settings.timeout_s, settings.removal_samples)

    every = [artefacts.read_explanation(path) for path in this.paths("explanations")]
    for number, one in enumerate(this.tasks()):
        stored, others = every[number], every[:number] + every[number + 1 :]
        query = None
        if stored.explanation is None or explainer is None or one.task is None:
            scored = Scored(empty(), {})
            message = "%s %s seed %s: nothing to score, the cell is %s"
            log.info(message, this.name, method, one.seed, stored.note["status"])
        else:
            query = queries(one.task.model, one.task.data, settings.samples, this.predicted)
            stored.check_query(query)
            case = Case(
                task=one.task,
                query=query,
                explanation=stored.explanation,
                explainer=explainer,
                retrained=tuple(filter(None, (other.retrained() for other in others))),
            )
            scored = score(metrics, curves, case, limits, variants)
            counts = f"{len(scored.scores)} scores, {len(scored.curves)} curves"
            log.info("%s %s seed %s: %s", this.name, method, one.seed, counts)

        table = scored.scores
        table.insert(0, "method", method)
        path = this.paths("scores")[number]
        unscored = _unscored(this, scored)
        write_cell_table(this, path, table, one.seed, kind="scores", unscored=unscored)

        path = this.paths("curves")[number]
        artefacts.write_curves(path, scored.curves, query, scored.fills)
        this.describe(path, seed=one.seed, kind="curves")


def _unscored(this: Job, scored: Scored) -> dict[str, dict[str, str]]:
    """Return status and reason of each metric without scores, by run id.

    Metrics that summarise removal curves have none where their curves could not be measured.
    """
    found = dict(scored.unscored)
    for name in this.config.entries["metric"]:
        for measurement in this.config.metric(name).measurements():
            if measurement in scored.lost_curves:
                found.setdefault(name, scored.lost_curves[measurement])

    return {
        name: {"status": status, "reason": _portable(reason)}
        for name, (status, reason) in found.items()
    }

"""Networks → what one method gives at every budget, its scores, and its stability."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import torch

from gpex_bench.contract import calls
from gpex_bench.contract.cost import counted
from gpex_bench.contract.isolation import failure
from gpex_bench.contract.untouched import untouched
from gpex_bench.masking.answers import on_scale
from gpex_bench.measurements import measured
from gpex_bench.stages.queries import predicted_by, queries
from gpex_bench.studies.budget.overlap import agreement
from gpex_bench.studies.budget.plan import OWN_COST, Budget
from gpex_bench.types import Attribution, Case, Explainer, Metric, Query, Task

# of the samples; each part gives a measurement of the seconds
N_PARTS = 3
# the tables of one method on one network
COLUMNS = {
    "runs": ("seed", "budget", "status", "reason", "n_samples", "forward_rows", "backward_rows"),
    "scores": ("seed", "budget", "sample", "score"),
    "stability": ("budget", "status", "reason", "sample", "jaccard", "spearman", "n_seeds"),
    "convergence": ("seed", "budget", "sample", "generation", "rows", "best", "whole"),
}


@dataclass(frozen=True)
class Spent:
    """The tables of one method on one network, and the seconds, which no two runs share."""

    tables: dict[str, pd.DataFrame]
    # seed, budget, part, n_samples, cpu_seconds of explaining a part of the samples
    seconds: list[dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """Result and cost of one call of an explainer, or why it failed."""

    values: Attribution | None = None
    status: str = "ok"
    reason: str = ""
    forward_rows: int = 0
    backward_rows: int = 0
    # samples of each part, and the CPU seconds of explaining them
    seconds: list[tuple[int, float]] = field(default_factory=list)


def spend(  # noqa: PLR0913 - keyword-only
    explainer: Explainer,
    tasks: Sequence[Task],
    metric: Metric,
    *,
    plan: Budget,
    budgets: Sequence[int],
    n_samples: int,
    progress: Callable[[str], None],
) -> Spent:
    """Run an explainer at every budget, and with many seeds at one budget on the first network.

    What a method refuses or fails at is a row with the reason and without numbers.

    Args:
        explainer: as configured.
        tasks: the networks of all training seeds on one dataset.
        metric: of attributions; it must not explain again.
        plan: of the study.
        budgets: forward rows per sample; OWN_COST alone is the explainer as it is configured.
        n_samples: test samples that are explained.
        progress: called with a line of text after each run.
    """
    rows: dict[str, list[pd.DataFrame]] = {name: [] for name in COLUMNS}
    seconds = []
    predicted = predicted_by([task.model for task in tasks], tasks[0].data)
    for task in tasks:
        query = queries(task.model, task.data, n_samples, predicted)
        # a first call, so that no measured call pays for imports
        _try(explainer, max(budgets), task, query.rows(slice(1)))

        for budget in budgets:
            key = {"seed": task.seed, "budget": budget}
            outcome = _try(explainer, budget, task, query)
            rows["runs"].append(_run(key, outcome, len(query.x)))
            if outcome.values is None:
                progress(f"seed {task.seed}, budget {budget}: {outcome.reason}")
                continue

            scores = _scores(explainer, metric, task, query, outcome.values)
            rows["scores"].append(scores.assign(**key))
            seconds += _seconds(key, outcome)
            mean = scores["score"].mean()
            progress(f"seed {task.seed}, budget {budget}: {mean:.3f}")
        rows["convergence"].append(_convergence(explainer, task, query, budgets))

    rows["stability"].append(_stability(explainer, tasks[0], plan, budgets, n_samples))
    tables = {name: _join(parts, COLUMNS[name]) for name, parts in rows.items()}
    return Spent(tables, seconds)


def at(explainer: Any, budget: int) -> Any:
    """Return the explainer with another budget; raises ValueError if that is too small for it."""
    return explainer if budget == OWN_COST else replace(explainer, budget=budget)


def _try(explainer: Explainer, budget: int, task: Task, query: Query) -> Outcome:
    """Return what an explainer gives at a budget, or why it fails: a failure is a result here."""
    try:
        return _explain(at(explainer, budget), task, query)
    except Exception as error:
        found = failure(error)
        return Outcome(status=found.status, reason=found.reason)


def _explain(explainer: Explainer, task: Task, query: Query) -> Outcome:
    """Return what an explainer gives for the samples and what that costs, measured part by part."""
    values, seconds = [], []
    with untouched(task, query), counted(task.model) as rows:
        for part in _parts(query):
            start = time.process_time()
            found = explainer.explain(task, part)
            seconds.append((len(part.x), time.process_time() - start))

            if not isinstance(found, Attribution):
                raise TypeError(
                    f"budget: methods must give an Attribution, got {type(found).__name__}."
                )
            values.append(found.values)

    return Outcome(
        values=Attribution(values=torch.cat(values)),
        forward_rows=rows.forward,
        backward_rows=rows.backward,
        seconds=seconds,
    )


def _parts(query: Query) -> list[Query]:
    """Return the samples in N_PARTS parts of about the same size, without empty ones.

    No explanation depends on the others in its batch.
    """
    n = len(query.x)
    parts = []
    for i in range(N_PARTS):
        start = n * i // N_PARTS
        end = n * (i + 1) // N_PARTS
        if end > start:
            parts.append(query.rows(slice(start, end)))
    return parts


def _run(key: dict[str, Any], outcome: Outcome, n_samples: int) -> pd.DataFrame:
    """Return the row of one call: its status and the rows it cost."""
    row = key | {
        "status": outcome.status,
        "reason": outcome.reason,
        "n_samples": n_samples,
        "forward_rows": outcome.forward_rows,
        "backward_rows": outcome.backward_rows,
    }
    return pd.DataFrame([row])


def _seconds(key: dict[str, Any], outcome: Outcome) -> list[dict[str, Any]]:
    """Return one row for each part of the samples: how long it took."""
    return [
        key | {"part": part, "n_samples": n, "cpu_seconds": cpu_seconds}
        for part, (n, cpu_seconds) in enumerate(outcome.seconds)
    ]


def _scores(
    explainer: Explainer, metric: Metric, task: Task, query: Query, values: Attribution
) -> pd.DataFrame:
    """Return the score of each sample."""
    case = Case(task=task, query=query, explanation=values, explainer=explainer)
    case = measured(case, [metric])
    scores = calls.score(metric, case)

    columns = {"sample": query.sample.numpy(), "score": scores.double().numpy()}
    return pd.DataFrame(columns)


def _stability(
    explainer: Explainer, task: Task, plan: Budget, budgets: Sequence[int], n_samples: int
) -> pd.DataFrame:
    """Return how well the maps of many seeds agree on each sample.

    At the plan's budget, or the method's largest one if that is smaller. Nothing for methods that
    always say the same; controls show what chance and a fixed map reach.
    """
    is_fixed = list(budgets) == [OWN_COST]
    if is_fixed and explainer.kind != "control":
        return pd.DataFrame(columns=list(COLUMNS["stability"]))

    budget = OWN_COST if is_fixed else min(plan.stability_budget, max(budgets))
    query = queries(task.model, task.data, n_samples).rows(slice(plan.stability_samples))
    maps = []
    for seed in range(plan.stability_seeds):
        outcome = _try(explainer, budget, replace(task, seed=seed), query)
        if outcome.values is None:
            return _not_stable(budget, outcome)
        maps.append(outcome.values.values)

    return agreement(maps, query, plan.top).assign(budget=budget, status="ok", reason="")


def _not_stable(budget: int, outcome: Outcome) -> pd.DataFrame:
    """Return the row of a method that could not be repeated."""
    row = {
        "budget": budget,
        "status": outcome.status,
        "reason": outcome.reason,
        "sample": -1,
        "n_seeds": 0,
        "jaccard": float("nan"),
        "spearman": float("nan"),
    }
    return pd.DataFrame([row])


def _convergence(
    explainer: Explainer, task: Task, query: Query, budgets: Sequence[int]
) -> pd.DataFrame:
    """Return how good the best subset is after each generation; nothing without an evolution."""
    if not hasattr(explainer, "evolve"):
        return pd.DataFrame(columns=list(COLUMNS["convergence"]))

    budget = max(budgets)
    evolving = at(explainer, budget)
    evolution = evolving.evolve(task, query)
    logits = task.model(query.x).detach()
    scaled = on_scale(logits, query.target, evolving.fitness, task.data.kind)
    whole = scaled - evolving.size_penalty

    # [sample, restart, generation]
    n_generations = evolution.best.shape[1]
    shape = (len(query.x), -1, n_generations)
    best = evolution.best.view(shape).double()
    rows = evolution.rows.view(shape).double()

    frames = [
        pd.DataFrame(
            {
                "seed": task.seed,
                "budget": budget,
                "sample": int(query.sample[i]),
                "generation": range(n_generations),
                "whole": float(whole[i]),
                "rows": rows[i].sum(0).numpy(),
                "best": best[i].amax(0).numpy(),
            }
        )
        for i in range(len(query.x))
    ]
    return pd.concat(frames, ignore_index=True)


def _join(parts: Iterable[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Return one table with these columns."""
    names = list(columns)
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(columns=names)

    table = pd.concat(filled, ignore_index=True)
    return table[names]

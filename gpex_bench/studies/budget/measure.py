"""Networks → what one method says at every budget, how well it scores, and how much it depends on its seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch

from gpex_bench.contract import calls
from gpex_bench.contract.cost import counted
from gpex_bench.contract.untouched import untouched
from gpex_bench.masking.answers import on_scale
from gpex_bench.measurements import measured
from gpex_bench.stages.queries import queries
from gpex_bench.studies.budget.overlap import agreement
from gpex_bench.studies.budget.plan import OWN_COST, Budget
from gpex_bench.types import Attribution, Case, Explainer, Metric, Query, Task

N_PARTS = 3  # of the samples; each gives a measurement of the seconds
COLUMNS = {
    "runs": ("seed", "budget", "status", "reason", "n_samples", "forward_rows", "backward_rows"),
    "scores": ("seed", "budget", "sample", "score"),
    "stability": ("budget", "status", "reason", "sample", "jaccard", "spearman", "n_seeds"),
    "convergence": ("seed", "budget", "sample", "generation", "rows", "best", "whole"),
}  # tables of one method on one network


@dataclass(frozen=True)
class Spent:
    """The tables of one method on one network, and the measured seconds, which are no part of them."""

    tables: dict[str, pd.DataFrame]
    seconds: list[
        dict[str, Any]
    ]  # seed, budget, part, n_samples, cpu_seconds of explaining a part of the samples


@dataclass(frozen=True)
class _Said:
    """What one call of an explainer gave and cost."""

    values: Attribution
    seconds: list[tuple[int, float]]  # samples of each part, and the CPU seconds of explaining them
    forward_rows: int
    backward_rows: int


def spend(  # noqa: PLR0913 - the things that meet here
    explainer: Explainer,
    tasks: Sequence[Task],
    metric: Metric,
    *,
    plan: Budget,
    budgets: Sequence[int],
    n_samples: int,
    progress: Callable[[str], None],
) -> Spent:
    """Run an explainer at every budget on every network, and with many seeds at one budget on the first network.

    What a method refuses or fails at is a row with the reason and without numbers.

    Args:
        explainer: as configured.
        tasks: the networks of all training seeds on one dataset.
        metric: of attributions; it must not explain again.
        plan: of the study.
        budgets: forward rows per sample; OWN_COST alone is the explainer as it is configured.
        n_samples: test samples that are explained.
        progress: hears a line per run.
    """
    rows: dict[str, list[pd.DataFrame]] = {name: [] for name in COLUMNS}
    seconds = []
    for task in tasks:
        query = queries(task.model, task.data, n_samples)
        _tried(
            explainer, max(budgets), task, query.rows(slice(1))
        )  # so that no measured call pays for imports
        for budget in budgets:
            said, reason = _tried(explainer, budget, task, query)
            key = {"seed": task.seed, "budget": budget}
            cost = {
                name: 0 if said is None else getattr(said, name) for name in COLUMNS["runs"][-2:]
            }
            status = {"status": "failed" if said is None else "ok", "reason": reason}
            rows["runs"].append(pd.DataFrame([key | status | {"n_samples": len(query.x)} | cost]))
            if said is None:
                progress(f"seed {task.seed}, budget {budget}: {reason}")
                continue
            found = _scores(explainer, metric, task, query, said.values)
            rows["scores"].append(found.assign(**key))
            for part, (n, cpu_seconds) in enumerate(said.seconds):
                seconds.append(key | {"part": part, "n_samples": n, "cpu_seconds": cpu_seconds})
            spent = sum(cpu_seconds for _, cpu_seconds in said.seconds)
            progress(
                f"seed {task.seed}, budget {budget}: {found['score'].mean():.3f}, {spent:.1f} CPU seconds"
            )
        rows["convergence"].append(_convergence(explainer, task, query, budgets))
    rows["stability"].append(_stability(explainer, tasks[0], plan, budgets, n_samples))
    return Spent({name: _joined(parts, COLUMNS[name]) for name, parts in rows.items()}, seconds)


def at(explainer: Any, budget: int) -> Any:
    """Return the explainer with another budget; raises ValueError if that is too small for it."""
    return explainer if budget == OWN_COST else replace(explainer, budget=budget)


def _tried(explainer: Explainer, budget: int, task: Task, query: Query) -> tuple[_Said | None, str]:
    """Return what an explainer says at a budget, or None and the reason: a method that fails is a result here."""
    try:
        return _explained(at(explainer, budget), task, query), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def _explained(explainer: Explainer, task: Task, query: Query) -> _Said:
    """Return what an explainer says of the samples and what that cost, measured part by part."""
    values, seconds = [], []
    with untouched(task, query), counted(task.model) as rows:
        for part in _parts(query):
            start = time.process_time()
            found = explainer.explain(task, part)
            seconds.append((len(part.x), time.process_time() - start))
            if not isinstance(found, Attribution):
                raise TypeError(f"A budget study needs attributions, got {type(found).__name__}.")
            values.append(found.values)
    return _Said(Attribution(values=torch.cat(values)), seconds, rows.forward, rows.backward)


def _parts(query: Query) -> list[Query]:
    """Return the samples in N_PARTS parts of about the same size: no explanation depends on the others in its batch."""
    ends = [len(query.x) * i // N_PARTS for i in range(N_PARTS + 1)]
    rows = [slice(start, end) for start, end in zip(ends, ends[1:], strict=False) if end > start]
    return [query.rows(part) for part in rows]


def _scores(
    explainer: Explainer, metric: Metric, task: Task, query: Query, values: Attribution
) -> pd.DataFrame:
    """Return the score of each sample."""
    case = measured(Case(task=task, query=query, explanation=values, explainer=explainer), [metric])
    return pd.DataFrame(
        {"sample": query.sample.numpy(), "score": calls.score(metric, case).double().numpy()}
    )


def _stability(
    explainer: Explainer, task: Task, plan: Budget, budgets: Sequence[int], n_samples: int
) -> pd.DataFrame:
    """Return how well the maps of many seeds agree on each sample; nothing for methods that always say the same.

    At the plan's budget, or the largest of the method's if that is smaller. Controls show what chance and a fixed map
    reach.
    """
    own = list(budgets) == [OWN_COST]
    if own and explainer.kind != "control":
        return pd.DataFrame(columns=list(COLUMNS["stability"]))
    budget = OWN_COST if own else min(plan.stability_budget, max(budgets))
    query = queries(task.model, task.data, n_samples).rows(slice(plan.stability_samples))
    maps = []
    for seed in range(plan.stability_seeds):
        said, reason = _tried(explainer, budget, replace(task, seed=seed), query)
        if said is None:
            row = {
                "budget": budget,
                "status": "failed",
                "reason": reason,
                "sample": -1,
                "n_seeds": 0,
            }
            return pd.DataFrame([row | {"jaccard": float("nan"), "spearman": float("nan")}])
        maps.append(said.values.values)
    return agreement(maps, query, plan.top).assign(budget=budget, status="ok", reason="")


def _convergence(
    explainer: Explainer, task: Task, query: Query, budgets: Sequence[int]
) -> pd.DataFrame:
    """Return how good the best subset is after each generation of an explainer that evolves subsets; else nothing."""
    empty = pd.DataFrame(columns=list(COLUMNS["convergence"]))
    if not hasattr(explainer, "evolve"):
        return empty
    budget = max(budgets)
    evolving = at(explainer, budget)
    found = evolving.evolve(task, query)
    answers = (
        on_scale(task.model(query.x).detach(), query.target, evolving.fitness)
        - evolving.size_penalty
    )
    n_generations = found.best.shape[1]
    best, rows = (
        part.view(len(query.x), -1, n_generations).double() for part in (found.best, found.rows)
    )
    key = {"seed": task.seed, "budget": budget}
    frames = [
        pd.DataFrame(
            key
            | {
                "sample": int(query.sample[i]),
                "generation": range(n_generations),
                "whole": float(answers[i]),
            }
            | {"rows": rows[i].sum(0).numpy(), "best": best[i].amax(0).numpy()}
        )
        for i in range(len(query.x))
    ]
    return pd.concat(frames, ignore_index=True)


def _joined(parts: Iterable[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Return one table with these columns."""
    filled = [part for part in parts if len(part)]
    return (
        pd.concat(filled, ignore_index=True)[list(columns)]
        if filled
        else pd.DataFrame(columns=list(columns))
    )

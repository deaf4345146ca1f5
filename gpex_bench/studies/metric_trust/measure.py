"""Scores of metrics under perturbed networks and inputs (hedstroem2023meta).

A perturbation is minor (the network says the same, so should the metric) or disruptive (it says
something else, so should the metric).

- Networks: every weight is multiplied by a normal number with mean 1. The methods explain again.
- Inputs: uniform noise, within the range of the training data. The maps stay those of the intact
  inputs, except for metrics that explain again: these would compare maps of two inputs (a departure
  from the authors' code).

Samples whose prediction changes under a minor perturbation, or does not change under a disruptive
one, are left out, as in the authors' code.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from gpex_bench.measurements import first, measured
from gpex_bench.studies.metric_trust.plan import Perturbation, Strength
from gpex_bench.types import Attribution, Case, Explainer, Metric, Model, Query, Task
from gpex_bench.types.draws import uniform
from gpex_bench.types.outputs import names_target

SCORES = ("seed", "method", "metric", "sample", "score")
PERTURBED = ("seed", "method", "metric", "space", "strength", "perturbation", "sample", "score")


def disturb(  # noqa: PLR0913 - keyword-only
    metrics: Mapping[str, Metric],
    methods: Mapping[str, Explainer],
    task: Task,
    query: Query,
    *,
    perturbations: Sequence[Perturbation],
    n_explained_again: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the scores of every method without perturbation (`SCORES`) and with (`PERTURBED`).

    Args:
        metrics: by run id; they apply to all the methods.
        methods: by run id; they give attributions.
        task: the network of one training seed.
        query: what is explained.
        perturbations: each is tried on every method.
        n_explained_again: samples that metrics see which explain again, the first ones.
    """
    plain, perturbed = [], []
    for method, explainer in methods.items():
        intact = explained(explainer, task, query)
        found = scores(metrics, intact, intact, n_explained_again)
        plain.append(_table(found, method, query, task.seed))

        for perturbation in perturbations:
            there = perturb(task, query, perturbation)
            again = explained(explainer, *there)
            # noise on an input leaves the map that is judged as it was
            judged = again if perturbation.space == "network" else _seen_at(intact, again)
            found = scores(metrics, judged, again, n_explained_again)

            table = _table(found, method, query, task.seed)
            is_kept = kept(*there, perturbation.strength)
            table = table[table["sample"].isin(query.sample[is_kept].tolist())]
            perturbed.append(
                table.assign(
                    space=perturbation.space,
                    strength=perturbation.strength,
                    perturbation=perturbation.number,
                )
            )

    return (
        pd.concat(plain, ignore_index=True)[list(SCORES)],
        pd.concat(perturbed, ignore_index=True)[list(PERTURBED)],
    )


def perturb(task: Task, query: Query, perturbation: Perturbation) -> tuple[Task, Query]:
    """Return a task with a perturbed network, or a query with perturbed inputs.

    The other one of the two is as it was. The perturbation depends on the task's seed, and that of
    an input on the sample.
    """
    purpose = f"{perturbation.space} {perturbation.strength} {perturbation.number}"
    if perturbation.space == "network":
        noisy = _noisy(task.model, perturbation.size, purpose, task.seed)
        return dataclasses.replace(task, model=noisy), query

    x = query.x
    draws = uniform(purpose, task.seed, query.sample, x[0].numel())
    noise = perturbation.size * (2 * draws - 1).view(x.shape).to(x)

    train = task.data.train.x
    lowest = float(train.min())
    highest = float(train.max())
    moved = (x + noise).clamp(lowest, highest)
    return task, Query(x=moved, target=query.target, sample=query.sample)


def _noisy(network: Model, size: float, purpose: str, seed: int) -> Model:
    """Return a copy of a network whose weights are multiplied by 1 + size * normal numbers."""
    start = uniform(purpose, seed, torch.zeros(1, dtype=torch.long), 1)
    generator = torch.Generator().manual_seed(int(start * 2**31))

    twin = copy.deepcopy(network)
    with torch.no_grad():
        for weight in twin.parameters():
            factors = 1 + size * torch.randn(weight.shape, generator=generator)
            weight.mul_(factors.to(weight))
    return twin


def kept(task: Task, query: Query, strength: Strength) -> Bool[Tensor, "batch"]:
    """Return which samples count.

    Under a minor perturbation the network must still predict the target, under a disruptive one it
    must not.
    """
    with torch.no_grad():
        is_target = names_target(task.model(query.x), query.target, task.data.kind).bool()
    return is_target if strength == "minor" else ~is_target


def scores(
    metrics: Mapping[str, Metric], judged: Case, again: Case, n_explained_again: int
) -> dict[str, Tensor]:
    """Return each metric's scores, one number a sample.

    Args:
        metrics: by run id.
        judged: what metrics score that do not explain again.
        again: what metrics score that explain again.
        n_explained_again: how many samples of `again`, the first ones.
    """
    once = [metric for metric in metrics.values() if not metric.re_explains]
    repeatedly = [metric for metric in metrics.values() if metric.re_explains]
    whole = measured(judged, once)
    few = measured(first(again, n_explained_again), repeatedly)

    return {
        name: metric.score(few if metric.re_explains else whole) for name, metric in metrics.items()
    }


def explained(explainer: Explainer, task: Task, query: Query) -> Case:
    """Return an explainer's explanations of some samples, ready to be scored.

    Raises:
        ValueError: it does not give attributions.
    """
    explanation = explainer.explain(task, query)
    if not isinstance(explanation, Attribution):
        raise ValueError(
            f"methods must give attributions, {type(explainer).__name__} gives "
            f"{type(explanation).__name__}; leave it out."
        )
    return Case(task=task, query=query, explanation=explanation, explainer=explainer)


def _seen_at(case: Case, other: Case) -> Case:
    """Return a case's explanation at the network and the inputs of another case."""
    return Case(
        task=other.task,
        query=other.query,
        explanation=case.explanation,
        explainer=case.explainer,
    )


def _table(scores: Mapping[str, Tensor], method: str, query: Query, seed: int) -> pd.DataFrame:
    """Return one row for each metric and sample; some metrics score the first samples only."""
    parts = [
        pd.DataFrame(
            {
                "seed": seed,
                "method": method,
                "metric": metric,
                "sample": query.sample[: len(values)].tolist(),
                "score": values.double().tolist(),
            }
        )
        for metric, values in scores.items()
    ]
    return pd.concat(parts, ignore_index=True)

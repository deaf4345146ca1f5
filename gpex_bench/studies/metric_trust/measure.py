"""Scores under perturbed networks and inputs: what `inference.trust` judges the metrics by (hedstroem2023meta).

A perturbation is `minor` (the network says the same, so should the metric) or `disruptive` (it says something else, so
should the metric). Networks: every weight is multiplied by a normal number with mean 1; the methods explain again.
Inputs: uniform noise, within the range of the training data; the maps stay those of the intact inputs, except for
metrics that explain again, which would else compare maps of two inputs (a departure). Sizes are those of the authors'
code. Samples whose prediction changes under a minor perturbation, or stays under a disruptive one, are
left out, as there.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Literal

import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor

from gpex_bench.measurements import first, measured
from gpex_bench.types import Attribution, Case, Explainer, Metric, Model, Query, Task
from gpex_bench.types.draws import uniform

Space = Literal["network", "input"]
Strength = Literal["minor", "disruptive"]
SIZES = {
    ("network", "minor"): 0.001,  # standard deviation of the factors
    ("network", "disruptive"): 2.0,
    ("input", "minor"): 0.001,  # half the width of the noise, in units of the input
    ("input", "disruptive"): 5.0,
}


def perturbed(
    task: Task, query: Query, space: Space, strength: Strength, number: int
) -> tuple[Task, Query]:
    """Return a task with a perturbed network, or a query with perturbed inputs; the other is as it was.

    Args:
        task: whose seed the perturbation follows.
        query: what is explained.
        space: what is perturbed.
        strength: how much, see SIZES.
        number: another number gives another perturbation.
    """
    size, purpose = SIZES[space, strength], f"{space} {strength} {number}"
    if space == "network":
        return dataclasses.replace(task, model=_noisy(task.model, size, purpose, task.seed)), query
    x, train = query.x, task.data.train.x
    noise = size * (2 * uniform(purpose, task.seed, query.sample, x[0].numel()) - 1).view(
        x.shape
    ).to(x)
    moved = (x + noise).clamp(float(train.min()), float(train.max()))
    return task, Query(x=moved, target=query.target, sample=query.sample)


def _noisy(network: Model, size: float, purpose: str, seed: int) -> Model:
    start = int(uniform(purpose, seed, torch.zeros(1, dtype=torch.long), 1) * 2**31)
    generator = torch.Generator().manual_seed(start)
    twin = copy.deepcopy(network)
    with torch.no_grad():
        for weight in twin.parameters():
            weight.mul_((1 + size * torch.randn(weight.shape, generator=generator)).to(weight))
    return twin


def kept(task: Task, query: Query, strength: Strength) -> Bool[Tensor, "batch"]:
    """Return which samples count: the network still names the target, or under a disruption does not."""
    with torch.no_grad():
        same = task.model(query.x).argmax(1) == query.target
    return same if strength == "minor" else ~same


def trust_scores(
    metrics: Mapping[str, Metric], cases: tuple[Case, Case], about: tuple[Task, Query], n_again: int
) -> dict[str, Tensor]:
    """Return each metric's scores of an explainer, at a network and inputs that may be others than the map's own.

    Args:
        metrics: by run id.
        cases: whose map metrics that do not explain again judge, and whose map the others do.
        about: the network and the inputs that the metrics look at.
        n_again: samples that metrics which explain again see, the first ones.
    """
    plain, again = (
        Case(task=about[0], query=about[1], explanation=case.explanation, explainer=case.explainer)
        for case in cases
    )
    whole = measured(plain, [metric for metric in metrics.values() if not metric.re_explains])
    few = measured(
        first(again, n_again), [metric for metric in metrics.values() if metric.re_explains]
    )
    return {
        name: metric.score(few if metric.re_explains else whole) for name, metric in metrics.items()
    }


def trials(
    metrics: Mapping[str, Metric],
    methods: Mapping[str, Explainer],
    about: tuple[Task, Query],
    sizes: tuple[int, int],
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Return the scores of every method without perturbation, and by space with it.

    Args:
        metrics: by run id; those that apply to all the methods.
        methods: by run id; they give attributions.
        about: the network and the inputs.
        sizes: perturbations of each kind, and samples of metrics that explain again.
    """
    task, query = about
    n_perturbations, n_again = sizes
    plain, others = [], {"network": [], "input": []}  # type: ignore[var-annotated]
    for method, explainer in methods.items():
        case = _case(explainer, task, query)
        plain += _rows(
            method, trust_scores(metrics, (case, case), about, n_again), query, task.seed
        )
        for space, strength in SIZES:
            for number in range(n_perturbations):
                there = perturbed(task, query, space, strength, number)  # type: ignore[arg-type]
                anew = _case(explainer, *there)
                found = trust_scores(
                    metrics, (anew if space == "network" else case, anew), there, n_again
                )
                rows = pd.DataFrame(_rows(method, found, query, task.seed))
                counts = set(query.sample[kept(*there, strength)].tolist())  # type: ignore[arg-type]
                rows = rows[rows["sample"].isin(counts)]
                others[space].append(rows.assign(strength=strength, perturbation=number))
    return pd.DataFrame(plain), {space: pd.concat(tables) for space, tables in others.items()}


def _case(explainer: Explainer, task: Task, query: Query) -> Case:
    found = explainer.explain(task, query)
    if not isinstance(found, Attribution):
        raise ValueError(
            f"methods must give attributions, {type(explainer).__name__} gives {type(found).__name__}."
        )
    return Case(task=task, query=query, explanation=found, explainer=explainer)


def _rows(method: str, scores: Mapping[str, Tensor], query: Query, seed: int) -> list[dict]:
    return [
        {
            "seed": seed,
            "method": method,
            "metric": metric,
            "sample": int(sample),
            "score": float(score),
        }
        for metric, found in scores.items()
        for sample, score in zip(query.sample, found, strict=False)
    ]

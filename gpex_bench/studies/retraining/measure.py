"""Networks that are trained again: without what a method points at, and on labels that mean nothing.

Remove and retrain (ROAR, hooker2019benchmark): a network that saw the whole inputs is explained, the positions that a
method puts first are replaced by the baseline in every training and test input, and a network is trained on that from
scratch. Keep and retrain (KAR): those that it puts last. Explained is the class that the network predicts, of training
inputs too: the true label would reach the test inputs' masks. The masks may tell the class all the same
(rong2022consistent), so that a network is also trained on them alone.

Random labels (adebayo2018sanity): the maps of the network are compared with those of one that was trained on permuted
labels until it fits them. A sibling, with right labels and the same other initial weights, shows how alike the maps of
two trainings are anyhow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gpex_bench.contract import calls
from gpex_bench.masking.fills import remove_positions
from gpex_bench.masking.order import per_position, ties_broken
from gpex_bench.measurements.similarity import likeness
from gpex_bench.stages.queries import queries
from gpex_bench.stages.train import predicted, train
from gpex_bench.studies.retraining.plan import Retraining
from gpex_bench.types import (
    Architecture,
    Attribution,
    Dataset,
    Explainer,
    Model,
    Query,
    Split,
    Task,
)
from gpex_bench.types.draws import uniform
from gpex_bench.types.passes import EXPLAINED_ROWS

NETWORKS = ("original", "sibling", "permuted")
PATIENCE = 4  # times as many epochs at the next try
Progress = Callable[[str], None]
Ranks = Int[Tensor, "batch position"]  # 0 is the most relevant position


def first_rows(data: Dataset, plan: Retraining) -> Dataset:
    """Return the dataset with the first rows of both splits, which are in random order."""
    train, test = _first(data.train, plan.train_samples), _first(data.test, plan.test_samples)
    return replace(data, train=train, test=test, truth=None)


def relabel(
    architecture: Architecture, data: Dataset, plan: Retraining, seed: int, progress: Progress
) -> dict[str, tuple[Model, dict[str, float]]]:
    """Return the networks of one training seed by name, with their accuracies.

    `original`: what is explained. `sibling`: trained on the same labels from other initial weights, in another order.
    `permuted`: as the sibling, on permuted labels, from scratch, with four times as many epochs until it fits them; its
    `train_accuracy` is that on the permuted labels, and `times` says how many times as many epochs it took.
    """
    data, zero = first_rows(data, plan), torch.zeros(1, dtype=torch.long)
    other = int(uniform("sibling", seed, zero, 1) * 2**31)
    order = uniform("permuted labels", seed, zero, len(data.train.y)).argsort(1)[0]
    permuted = replace(data, train=replace(data.train, y=data.train.y[order]))
    networks = {"original": train(architecture, data, seed, progress)}
    networks["sibling"] = train(architecture, data, other, progress)
    times = 1
    networks["permuted"] = train(architecture, permuted, other, progress)
    while (
        networks["permuted"][1]["train_accuracy"] < plan.fitted and PATIENCE * times <= plan.longest
    ):
        times *= PATIENCE
        networks["permuted"] = train(_longer(architecture, times), permuted, other, progress)
    return {
        name: (model, found | {"times": times if name == "permuted" else 1})
        for name, (model, found) in networks.items()
    }


def retrain(  # noqa: PLR0913 - the things that meet here
    explainer: Explainer,
    networks: Mapping[str, Model],
    architecture: Architecture,
    data: Dataset,
    *,
    plan: Retraining,
    seed: int,
    progress: Progress,
) -> pd.DataFrame:
    """Return what networks reach without, and with only, what a method points at: measure, share, value, reason.

    Measures are `roar` and `kar` (test accuracies; share 0: of the original), `masks` (that on the masks alone), and
    the rank correlations of maps with those of the sibling and of the network trained on permuted labels, of the
    values and of their sizes (`_absolute`). A method that fails is one row `failed` with the reason.

    Args:
        explainer: as configured.
        networks: as `relabel` makes them.
        architecture: what is trained.
        data: whole; the plan's first rows are used.
        plan: of the study.
        seed: of the trainings; the original was trained with it.
        progress: hears a line per training.
    """
    data = first_rows(data, plan)
    task = Task(model=networks["original"], data=data, surrogate=None, seed=seed)
    try:
        ranks = {part: _ranks(explainer, task, getattr(data, part)) for part in ("train", "test")}
        rows = _likenesses(explainer, task, networks, plan.map_samples)
    except Exception as error:
        return _table([("failed", 0.0, float("nan"))]).assign(
            reason=f"{type(error).__name__}: {error}"
        )

    def accuracy(measure: str, share: float) -> tuple[str, float, float]:
        changed = _changed(data, ranks, measure, share)
        reached = train(architecture, changed, seed, lambda _: None)[1]["test_accuracy"]
        progress(f"{measure} {share:g}: test accuracy {reached:.3f}")
        return measure, share, reached

    whole = float((predicted(task.model, data.test.x) == data.test.y).double().mean())
    for measure in ("roar", "kar"):
        rows += [(measure, 0.0, whole), *(accuracy(measure, share) for share in plan.shares)]
    return _table([*rows, accuracy("masks", plan.mask_share)]).assign(reason="")


def _first(split: Split, n: int) -> Split:
    return Split(x=split.x[:n], y=split.y[:n], sample=split.sample[:n])


def _longer(architecture: Any, times: int) -> Any:
    """Return the architecture with more epochs."""
    training = architecture.training
    return replace(architecture, training=replace(training, epochs=times * training.epochs))


def _table(rows: list[tuple[str, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["measure", "share", "value"])


def _map(explainer: Explainer, task: Task, query: Query) -> Float[Tensor, "batch position"]:
    """Return the relevance of each position; raises BrokenPromise if a map is malformed."""
    found = calls.explain(explainer, task, query)
    if not isinstance(found, Attribution):
        raise TypeError(f"A retraining study needs attributions, got {type(found).__name__}.")
    return per_position(found.values)


def _ranks(explainer: Explainer, task: Task, split: Split) -> Ranks:
    """Return the place of each position of every input of a split."""
    query = Query(x=split.x, target=predicted(task.model, split.x), sample=split.sample)
    starts = range(0, len(split.y), EXPLAINED_ROWS)
    parts = [query.rows(slice(start, start + EXPLAINED_ROWS)) for start in starts]
    return torch.cat([ties_broken(_map(explainer, task, part), part.sample) for part in parts])


def _likenesses(
    explainer: Explainer, task: Task, networks: Mapping[str, Model], n_samples: int
) -> list[tuple[str, float, float]]:
    """Return the mean rank correlation with the maps of each other network, of what the original predicts."""
    query = queries(task.model, task.data, len(task.data.test.y)).rows(slice(n_samples))
    first, rows = _map(explainer, task, query), []
    for name in NETWORKS[1:]:
        other = _map(explainer, replace(task, model=networks[name]), query)[:, None]
        for absolute, ending in ((False, ""), (True, "_absolute")):
            rows.append((name + ending, 0.0, float(likeness(first, other, absolute).mean())))
    return rows


def _changed(data: Dataset, ranks: Mapping[str, Ranks], measure: str, share: float) -> Dataset:
    """Return the dataset without the first (`roar`) or last (`kar`) positions, or only which those are (`masks`)."""

    def part(split: Split, rank: Ranks) -> Split:
        n, gone = rank.shape[1], round(share * rank.shape[1])
        removed = rank >= n - gone if measure == "kar" else rank < gone
        if measure == "masks":
            shown = torch.ones_like(split.x)
            return replace(split, x=remove_positions(shown, shown.new_zeros(()), removed))
        baseline = data.baseline.to(split.x)
        return replace(split, x=remove_positions(split.x, baseline[None], removed))

    return replace(
        data, train=part(data.train, ranks["train"]), test=part(data.test, ranks["test"])
    )

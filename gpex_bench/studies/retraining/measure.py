"""Networks that are trained again: without what a method points at, and on permuted labels.

Remove and retrain (ROAR, hooker2019benchmark): a network that saw the whole inputs is explained,
the positions that a method puts first are replaced by the baseline in every training and test
input, and a network is trained on that from scratch. Keep and retrain (KAR): those that it puts
last. Explained is the class that the network predicts, of training inputs too: the true label
would reach the test inputs' masks. The masks may reveal the class all the same
(rong2022consistent), so a network is also trained on them alone.

Random labels (adebayo2018sanity): the maps of the network are compared with those of one that was
trained on permuted labels until it fits them. A sibling, with right labels and the same other
initial weights, shows how alike the maps of two trainings are anyhow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gpex_bench.contract import calls
from gpex_bench.masking.fills import remove_positions
from gpex_bench.masking.order import per_position, ties_broken
from gpex_bench.masking.units import per_unit, units
from gpex_bench.measurements.similarity import likeness
from gpex_bench.stages.queries import queries
from gpex_bench.stages.train import train
from gpex_bench.studies.retraining.plan import Retraining
from gpex_bench.types import (
    Architecture,
    Attribution,
    Dataset,
    Explainer,
    Kind,
    Model,
    Query,
    Split,
    Task,
)
from gpex_bench.types.batches import EXPLAINED_ROWS, in_chunks
from gpex_bench.types.draws import uniform
from gpex_bench.types.outputs import explained
from gpex_bench.types.performance import performance
from gpex_bench.types.strata import drawn

NETWORKS = ("original", "sibling", "permuted")
# times as many epochs at the next try to fit permuted labels
PATIENCE = 4
Progress = Callable[[str], None]
# the place of each position of an input: 0 is the most relevant
Ranks = Int[Tensor, "batch position"]
# measure, share, value
Row = tuple[str, float, float]


def some_rows(data: Dataset, plan: Retraining) -> Dataset:
    """Return the dataset with some rows of both splits, drawn so that they stand for them."""
    train_part = _drawn(data.train, data.kind, plan.train_samples)
    test_part = _drawn(data.test, data.kind, plan.test_samples)
    return replace(data, train=train_part, test=test_part, truth=None)


# --- networks on right and on permuted labels ---


def relabel(
    architecture: Architecture, data: Dataset, plan: Retraining, seed: int, progress: Progress
) -> dict[str, tuple[Model, dict[str, float]]]:
    """Return the networks of one training seed by name, with their accuracies.

    `original` is what is explained. `sibling` is trained on the same labels from other initial
    weights, in another order. `permuted` is trained as the sibling, but on permuted labels, with
    four times as many epochs until it fits them; its `train_accuracy` is that on the permuted
    labels. `times` is how many times as many epochs a network took.
    """
    data = some_rows(data, plan)
    permuted = _with_permuted_labels(data, seed)
    other_seed = _seed_of_sibling(seed)

    original, original_notes = train(architecture, data, seed, progress)
    sibling, sibling_notes = train(architecture, data, other_seed, progress)

    times = 1
    model, notes = train(architecture, permuted, other_seed, progress)
    while notes["train_accuracy"] < plan.fitted and PATIENCE * times <= plan.longest:
        times *= PATIENCE
        model, notes = train(_longer(architecture, times), permuted, other_seed, progress)

    return {
        "original": (original, original_notes | {"times": 1}),
        "sibling": (sibling, sibling_notes | {"times": 1}),
        "permuted": (model, notes | {"times": times}),
    }


def _seed_of_sibling(seed: int) -> int:
    zero = torch.zeros(1, dtype=torch.long)
    return int(uniform("sibling", seed, zero, 1) * 2**31)


def _with_permuted_labels(data: Dataset, seed: int) -> Dataset:
    """Return the dataset with its training labels in a random order."""
    labels = data.train.y
    zero = torch.zeros(1, dtype=torch.long)
    draws = uniform("permuted labels", seed, zero, len(labels))
    order = draws.argsort(1)[0]

    train_part = replace(data.train, y=labels[order])
    return replace(data, train=train_part)


def _longer(architecture: Any, times: int) -> Any:
    """Return the architecture with more epochs."""
    training = architecture.training
    return replace(architecture, training=replace(training, epochs=times * training.epochs))


# --- networks trained without, and with only, what a method points at ---


def retrain(  # noqa: PLR0913 - a method meets networks, data and plan here
    explainer: Explainer,
    networks: Mapping[str, Model],
    architecture: Architecture,
    data: Dataset,
    *,
    plan: Retraining,
    seed: int,
    progress: Progress,
) -> pd.DataFrame:
    """Return the accuracies of retrained networks, and how alike maps are, for one method.

    Args:
        explainer: as configured.
        networks: as `relabel` makes them.
        architecture: what is trained.
        data: whole; the plan's first rows are used.
        plan: of the study.
        seed: of the trainings; the original was trained with it.
        progress: called with a line of text after each training.

    Returns:
        measure, share, value, reason. Measures are `roar` and `kar` (test accuracies; share 0 is
        the original's), `masks` (that on the masks alone), and the rank correlations of maps with
        those of the sibling and of the network trained on permuted labels, of the values and of
        their sizes (`_absolute`). A method that fails is one row `failed` with the reason.
    """
    data = some_rows(data, plan)
    task = Task(model=networks["original"], data=data, surrogate=None, seed=seed)

    try:
        ranks = {
            "train": _ranks(explainer, task, data.train),
            "test": _ranks(explainer, task, data.test),
        }
        rows = _likenesses(explainer, task, networks, plan.map_samples)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return _table([("failed", 0.0, float("nan"))]).assign(reason=reason)

    def retrained(measure: str, share: float) -> Row:
        changed = _changed(data, ranks, measure, share)
        _, accuracies = train(architecture, changed, seed, lambda _: None)
        reached = accuracies["test_accuracy"]
        progress(f"{measure} {share:g}: test accuracy {reached:.3f}")
        return measure, share, reached

    whole = performance(in_chunks(task.model, data.test.x), data.test.y, data.kind)["accuracy"]
    for measure in ("roar", "kar"):
        rows.append((measure, 0.0, whole))
        rows += [retrained(measure, share) for share in plan.shares]
    rows.append(retrained("masks", plan.mask_share))

    return _table(rows).assign(reason="")


def _drawn(split: Split, kind: Kind, n: int) -> Split:
    rows = drawn(split, kind, n)
    return Split(x=split.x[rows], y=split.y[rows], sample=split.sample[rows])


def _table(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["measure", "share", "value"])


def _map(explainer: Explainer, task: Task, query: Query) -> Float[Tensor, "batch unit"]:
    """Return the relevance of each unit; raises BrokenPromise if a map is malformed."""
    explanation = calls.explain(explainer, task, query)
    if not isinstance(explanation, Attribution):
        kind = type(explanation).__name__
        raise TypeError(f"retraining: methods must give an Attribution, got {kind}.")
    return per_unit(per_position(explanation.values), units(task.data))


def _ranks(explainer: Explainer, task: Task, split: Split) -> Ranks:
    """Return the place of each position of every input of a split."""
    target = explained(in_chunks(task.model, split.x))
    query = Query(x=split.x, target=target, sample=split.sample)

    ranks = []
    for start in range(0, len(target), EXPLAINED_ROWS):
        part = query.rows(slice(start, start + EXPLAINED_ROWS))
        relevance = _map(explainer, task, part)
        ranks.append(ties_broken(relevance, part.sample))
    return torch.cat(ranks)


def _likenesses(
    explainer: Explainer, task: Task, networks: Mapping[str, Model], n_samples: int
) -> list[Row]:
    """Return the mean rank correlation with the maps of each other network.

    Explained is what the original predicts, by each network.
    """
    every = queries(task.model, task.data, len(task.data.test.y))
    query = every.rows(slice(n_samples))
    own = _map(explainer, task, query)

    rows = []
    for name in ("sibling", "permuted"):
        other_task = replace(task, model=networks[name])
        other = _map(explainer, other_task, query)[:, None]

        of_values = float(likeness(own, other, False).mean())
        rows.append((name, 0.0, of_values))

        of_sizes = float(likeness(own, other, True).mean())
        rows.append((f"{name}_absolute", 0.0, of_sizes))
    return rows


def _changed(data: Dataset, ranks: Mapping[str, Ranks], measure: str, share: float) -> Dataset:
    """Return the dataset that a network is trained on again.

    It lacks the first (`roar`) or last (`kar`) positions, or holds only which those are (`masks`).
    """

    def changed(split: Split, rank: Ranks) -> Split:
        removed = _removed(rank, share, is_from_end=measure == "kar")
        if measure == "masks":
            # 1 is there, 0 is removed
            there = torch.ones_like(split.x)
            gone = torch.zeros_like(data.baseline)
        else:
            there = split.x
            gone = data.baseline.to(split.x)
        return replace(split, x=remove_positions(there, gone[None], removed, units(data)))

    train_part = changed(data.train, ranks["train"])
    test_part = changed(data.test, ranks["test"])
    return replace(data, train=train_part, test=test_part)


def _removed(rank: Ranks, share: float, *, is_from_end: bool) -> Bool[Tensor, "batch position"]:
    """Return which positions are removed: a share of them, from the most relevant or the least."""
    n_positions = rank.shape[1]
    n_removed = round(share * n_positions)
    if is_from_end:
        return rank >= n_positions - n_removed
    return rank < n_removed

"""The loop: train, take a misclassified test sample, show a training sample, correct its label.

The test labels decide which test samples are explained, and the accuracy is measured on the same
samples: so it is in the paper's protocol. They never enter a training, and every method profits
alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gpex_bench.studies.debugging.labels import swap
from gpex_bench.studies.debugging.plan import Debugging
from gpex_bench.types import Dataset, Model, value
from gpex_bench.types.batches import in_chunks
from gpex_bench.types.outputs import prediction


@value
class Question:
    """Why are these test samples misclassified?"""

    model: Model
    # with the training labels as they are now
    data: Dataset
    x: Float[Tensor, "batch *feature"]
    # the predicted class, which is the wrong one
    target: Int[Tensor, "batch"]
    # of the round
    seed: int


# gives the k training samples to show first, the strongest first
Ranking = Callable[[Question, int], Int[Tensor, "batch k"]]
Train = Callable[[Dataset], Model]


def repair(  # noqa: PLR0913 - the pieces of one loop, each named
    train: Train,
    rank: Ranking,
    data: Dataset,
    is_wrong: Bool[Tensor, "n_train"],
    *,
    plan: Debugging,
    seed: int,
    progress: Callable[[str], None],
) -> pd.DataFrame:
    """Return what is found and reached while labels are corrected.

    Args:
        train: trains a network on a dataset's training split.
        rank: decides what is shown first.
        data: with the right labels.
        is_wrong: the training labels that are swapped at the start.
        plan: how much is shown.
        seed: of the order in which the test samples are explained.
        progress: called with a line of text after each training.

    Returns:
        shown [samples], found and accuracy [shares], misclassified [test samples]; one row per
        training.

    Raises:
        ValueError: more samples would be shown than there are, or no label is wrong.
    """
    n_wrong = int(is_wrong.sum())
    _check(len(data.train.y), n_wrong, plan)
    is_shown = torch.zeros(len(data.train.y), dtype=torch.bool)

    rows = []
    for turn in range(plan.rounds + 1):
        current = swap(data, is_wrong & ~is_shown)
        model = train(current)
        predicted = prediction(in_chunks(model, data.test.x), data.kind)
        missed = (predicted != data.test.y).nonzero().flatten()

        n_shown = int(is_shown.sum())
        found = int((is_wrong & is_shown).sum()) / n_wrong
        accuracy = 1 - len(missed) / len(predicted)
        rows.append((n_shown, found, accuracy, len(missed)))
        progress(
            f"{n_shown} shown, {found:.1%} of the wrong labels found, test accuracy {accuracy:.1%}"
        )

        if turn < plan.rounds:
            question = _ask(model, current, predicted, missed, plan.per_round, [seed, turn])
            # so many that each row names enough samples that were not shown yet
            k = min(len(is_shown), n_shown + plan.per_round)
            chosen = choose(rank(question, k), is_shown, plan.per_round)
            is_shown[list(chosen)] = True
    return pd.DataFrame(rows, columns=["shown", "found", "accuracy", "misclassified"])


def choose(
    ranked: Int[Tensor, "batch k"], is_shown: Bool[Tensor, "n_train"], n: int
) -> Iterator[int]:
    """Yield n training samples: row after row in turn, each the row's first that was not shown."""
    gone = set(is_shown.nonzero().flatten().tolist())
    candidates = [iter(row) for row in ranked.tolist()]

    for number in range(n):
        row = candidates[number % len(candidates)]
        sample = next((sample for sample in row if sample not in gone), None)
        if sample is None:
            raise ValueError(
                "ranked must have more samples a row than were shown already, "
                f"got {ranked.shape[1]} a row."
            )
        gone.add(sample)
        yield sample


def _check(n_train: int, n_wrong: int, plan: Debugging) -> None:
    """Refuse to show more samples than there are, or to look for nothing."""
    if plan.per_round * plan.rounds > n_train:
        raise ValueError(
            f"rounds x per_round must be at most the {n_train} training samples, "
            f"got {plan.rounds} x {plan.per_round}."
        )
    if n_wrong < 1:
        raise ValueError("is_wrong must mark at least one training label, got none.")


def _ask(  # noqa: PLR0913 - what a question is made of
    model: Model,
    data: Dataset,
    predicted: Int[Tensor, "n_test"],
    missed: Int[Tensor, "n_missed"],
    n: int,
    seed: list[int],
) -> Question:
    """Return the question about n misclassified test samples in a random order.

    Without a mistake, all test samples are explained.
    """
    order_seed, ranking_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
    generator = torch.Generator().manual_seed(order_seed)

    candidates = missed if len(missed) else torch.arange(len(predicted))
    order = torch.randperm(len(candidates), generator=generator)
    asked = candidates[order][:n]
    return Question(
        model=model,
        data=data,
        x=data.test.x[asked],
        target=predicted[asked],
        seed=ranking_seed,
    )

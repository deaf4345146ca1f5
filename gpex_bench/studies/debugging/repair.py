"""The loop: train, take a misclassified test sample, show a training sample that explains it, correct its label.

The test labels decide which test samples are asked about, and the accuracy is measured on the same samples: so it is in
the paper's protocol. They never enter a training, and every method profits alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gpex_bench.studies.debugging.labels import labelled
from gpex_bench.studies.debugging.plan import Debugging
from gpex_bench.types import Dataset, Model, value
from gpex_bench.types.passes import in_chunks

COLUMNS = ("shown", "found", "accuracy", "misclassified")


@value
class Question:
    """Why are these test samples misclassified?"""

    model: Model
    data: Dataset  # with the training labels as they are now
    x: Float[Tensor, "batch *feature"]
    target: Int[Tensor, "batch"]  # the predicted class, which is the wrong one
    seed: int  # of the round


Ranking = Callable[
    [Question, int], Int[Tensor, "batch k"]
]  # the k training samples to show first, strongest first
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
    """Return one row per training: shown [samples], found and accuracy [shares], misclassified [test samples].

    Args:
        train: trains a network on a dataset's training split.
        rank: decides what is shown first.
        data: with the right labels.
        is_wrong: the training labels that are swapped at the start.
        plan: how much is shown.
        seed: of the order in which the test samples are asked about.
        progress: hears a line per training.

    Raises:
        ValueError: more samples would be shown than there are, or no label is wrong.
    """
    n_train, n_wrong = len(data.train.y), int(is_wrong.sum())
    if plan.per_round * plan.rounds > n_train:
        raise ValueError(
            f"rounds x per_round must be at most the {n_train} training samples, got {plan.rounds} x {plan.per_round}."
        )
    if n_wrong < 1:
        raise ValueError("is_wrong must mark at least one training label, got none.")
    is_shown = torch.zeros(n_train, dtype=torch.bool)
    rows = []
    for turn in range(plan.rounds + 1):
        current = labelled(data, is_wrong & ~is_shown)
        model = train(current)
        predicted = _predicted(model, data.test.x)
        missed = (predicted != data.test.y).nonzero().flatten()
        found, accuracy = (
            int((is_wrong & is_shown).sum()) / n_wrong,
            1 - len(missed) / len(predicted),
        )
        rows.append((int(is_shown.sum()), found, accuracy, len(missed)))
        progress(
            f"{rows[-1][0]} shown, {found:.1%} of the wrong labels found, test accuracy {accuracy:.1%}"
        )
        if turn < plan.rounds:
            asked = (
                missed if len(missed) else torch.arange(len(predicted))
            )  # nothing to ask about: ask about all
            state = np.random.SeedSequence([seed, turn]).generate_state(2).tolist()
            asked = asked[
                torch.randperm(len(asked), generator=torch.Generator().manual_seed(state[0]))
            ]
            asked = asked[: plan.per_round]
            question = Question(
                model=model,
                data=current,
                x=data.test.x[asked],
                target=predicted[asked],
                seed=state[1],
            )
            k = min(n_train, int(is_shown.sum()) + plan.per_round)
            is_shown[list(shown(rank(question, k), is_shown, plan.per_round))] = True
    return pd.DataFrame(rows, columns=list(COLUMNS))


def shown(
    ranked: Int[Tensor, "batch k"], is_shown: Bool[Tensor, "n_train"], n: int
) -> Iterator[int]:
    """Yield n training samples: row after row in turn, each the row's first that has not been shown."""
    gone = set(is_shown.nonzero().flatten().tolist())
    lists = [iter(row) for row in ranked.tolist()]
    for number in range(n):
        sample = next((sample for sample in lists[number % len(lists)] if sample not in gone), None)
        if sample is None:
            raise ValueError(
                f"ranked must name at least as many samples as are gone, got {ranked.shape[1]} a row."
            )
        gone.add(sample)
        yield sample


def _predicted(model: Model, x: Float[Tensor, "n *feature"]) -> Int[Tensor, "n"]:
    """Return the predicted classes."""
    return in_chunks(model, x).argmax(1)

"""Datasets with wrong training labels: two classes of a dataset, and which of their labels are swapped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gpex_bench.types import Dataset, Split

OWN = 45  # keeps the draws of this experiment apart from others with the same seed


def two_classes(data: Dataset, names: tuple[str, str]) -> Dataset:
    """Return the rows of two classes, labelled 0 and 1 in this order; planted truth is left out.

    Raises:
        ValueError: a class that the dataset does not have, or the same class twice.
    """
    for name in names:
        if name not in data.classes:
            raise ValueError(
                f"classes must be two of {', '.join(data.classes)} in {data.name}, got {name!r}."
            )
    if names[0] == names[1]:
        raise ValueError(f"classes must be two different classes, got {names[0]!r} twice.")
    labels = [data.classes.index(name) for name in names]
    return replace(
        data,
        train=_part(data.train, labels),
        test=_part(data.test, labels),
        classes=names,
        truth=None,
    )


def _part(split: Split, labels: list[int]) -> Split:
    is_in = torch.isin(split.y, torch.tensor(labels))
    return Split(
        x=split.x[is_in], y=(split.y[is_in] == labels[1]).to(split.y), sample=split.sample[is_in]
    )


def drawn_wrong(y: Int[Tensor, "n"], share: float, seed: int) -> Bool[Tensor, "n"]:
    """Return which labels are wrong: the same share of each class, rounded, drawn without replacement.

    Raises:
        ValueError: a share outside (0, 0.5): from one half on, the wrong labels would be the right ones.
    """
    check_share(share)
    generator = np.random.default_rng([seed, OWN])
    is_wrong = torch.zeros(len(y), dtype=torch.bool)
    for label in y.unique(sorted=True).tolist():
        rows = (y == label).nonzero().flatten().numpy()
        is_wrong[generator.permutation(rows)[: round(share * len(rows))]] = True
    return is_wrong


def check_share(share: float) -> None:
    """Raise ValueError unless a share of wrong labels is in (0, 0.5)."""
    if not 0 < share < 0.5:
        raise ValueError(f"flipped must be a share in (0, 0.5), got {share}.")


def labelled(data: Dataset, is_wrong: Bool[Tensor, "n_train"]) -> Dataset:
    """Return a dataset of two classes with these training labels swapped."""
    if len(data.classes) != 2:
        raise ValueError(
            f"Labels can be swapped between 2 classes, {data.name} has {len(data.classes)}."
        )
    train = data.train
    return replace(data, train=replace(train, y=torch.where(is_wrong, 1 - train.y, train.y)))

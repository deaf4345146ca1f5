"""Datasets with wrong training labels: two classes of a dataset, and which labels are swapped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gpex_bench.types import Dataset, Split

# keeps the draws of this study apart from others with the same seed
STREAM = 45


def two_classes(data: Dataset, names: tuple[str, str]) -> Dataset:
    """Return the rows of two classes, labelled 0 and 1 in this order; planted truth is left out.

    Raises:
        ValueError: a class that the dataset does not have, or the same class twice.
    """
    for name in names:
        if name not in data.classes:
            known = ", ".join(data.classes)
            raise ValueError(f"classes must be two of {known} in {data.name}, got {name!r}.")
    if names[0] == names[1]:
        raise ValueError(f"classes must be two different classes, got {names[0]!r} twice.")

    labels = [data.classes.index(name) for name in names]
    return replace(
        data,
        train=_rows_of(data.train, labels),
        test=_rows_of(data.test, labels),
        classes=names,
        truth=None,
    )


def choose_wrong(y: Int[Tensor, "n"], share: float, seed: int) -> Bool[Tensor, "n"]:
    """Return which labels are wrong: the same share of each class, rounded, without replacement.

    Raises:
        ValueError: a share outside (0, 0.5): from one half on, the wrong labels would be the right
            ones.
    """
    check_share(share)
    generator = np.random.default_rng([seed, STREAM])
    is_wrong = torch.zeros(len(y), dtype=torch.bool)

    for label in y.unique(sorted=True).tolist():
        is_label = y == label
        rows = is_label.nonzero().flatten().numpy()
        n_wrong = round(share * len(rows))
        chosen = generator.permutation(rows)[:n_wrong]
        is_wrong[chosen] = True
    return is_wrong


def check_share(share: float) -> None:
    """Raise ValueError unless a share of wrong labels is in (0, 0.5)."""
    if not 0 < share < 0.5:
        raise ValueError(f"flipped must be a share in (0, 0.5), got {share}.")


def swap(data: Dataset, is_wrong: Bool[Tensor, "n_train"]) -> Dataset:
    """Return a dataset of two classes with these training labels swapped."""
    n_classes = len(data.classes)
    if n_classes != 2:
        raise ValueError(f"Labels can be swapped between 2 classes, {data.name} has {n_classes}.")

    right = data.train.y
    given = torch.where(is_wrong, 1 - right, right)
    train = replace(data.train, y=given)
    return replace(data, train=train)


def _rows_of(split: Split, labels: list[int]) -> Split:
    """Return the rows of two classes; the second one becomes class 1."""
    is_in = torch.isin(split.y, torch.tensor(labels))
    is_second = split.y[is_in] == labels[1]
    return Split(
        x=split.x[is_in],
        y=is_second.to(split.y),
        sample=split.sample[is_in],
    )

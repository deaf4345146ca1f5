"""Small datasets made of tensors: what a test has to say of its data, and nothing more."""

from __future__ import annotations

import torch
from torch import Tensor

from gpex_bench.types import Dataset, Query, Split, Task, Truth


def split(x: Tensor, y: Tensor | None = None, first: int = 0) -> Split:
    """Return rows of a dataset: of class 0 unless said otherwise, numbered from `first`."""
    labels = torch.zeros(len(x), dtype=torch.int64) if y is None else y
    return Split(x=x, y=labels, sample=first + torch.arange(len(x)))


def dataset(
    train: Tensor | Split,
    test: Tensor | Split | None = None,
    *,
    classes: int = 3,
    baseline: float | Tensor = 0.0,
    truth: Truth | None = None,
    name: str = "toy",
) -> Dataset:
    """Return a dataset: classes are "a", "b", ..., columns "f0", "f1", ...

    Args: train: the training split, or its inputs. test: the test split, or its inputs, numbered
        after the training rows; the training split if it is left out. classes: how many. baseline:
        a tensor, or the number that every entry of it has. truth: planted truth. name: of the
        dataset.
    """
    train = train if isinstance(train, Split) else split(train)
    if test is None:
        test = train
    elif isinstance(test, Tensor):
        test = split(test, first=len(train.x))

    shape = train.x.shape[1:]
    is_table = len(shape) == 1
    return Dataset(
        name=name,
        train=train,
        test=test,
        classes=tuple("abcdefghijklmnop"[:classes]),
        features=tuple(f"f{column}" for column in range(shape[0])) if is_table else (),
        baseline=baseline if isinstance(baseline, Tensor) else torch.full(shape, baseline),
        truth=truth,
    )


def task(model, x: Tensor, *, seed: int = 3, **settings) -> Task:
    """Return the task of a network without a surrogate, on a dataset whose splits are x."""
    return Task(model=model.eval(), data=dataset(x, **settings), surrogate=None, seed=seed)


def query(x: Tensor, target: int | Tensor = 0, first: int = 0) -> Query:
    """Return a query for one head, or for one head a row."""
    targets = target if isinstance(target, Tensor) else torch.full((len(x),), target)
    return Query(x=x, target=targets, sample=first + torch.arange(len(x)))

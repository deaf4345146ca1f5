"""Small datasets made of tensors: what a test has to say of its data, and nothing more."""

from __future__ import annotations

import dataclasses

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
    return task_of(model.eval(), dataset(x, **settings), seed)


def task_of(model, data: Dataset, seed: int) -> Task:
    """Return the task of a network without a surrogate.

    Networks as they come, which are no `Model`, take part: what is tested reads outputs alone.
    """
    made = object.__new__(Task)
    fields = {"model": model, "data": data, "surrogate": None, "seed": seed}
    for name, content in fields.items():
        object.__setattr__(made, name, content)
    return made


def query(x: Tensor, target: int | Tensor = 0, first: int = 0) -> Query:
    """Return a query for one head, or for one head a row."""
    targets = target if isinstance(target, Tensor) else torch.full((len(x),), target)
    return Query(x=x, target=targets, sample=first + torch.arange(len(x)))


# columns of `categorical`: numbers at 1, 2 and 6, a category of three at 0, 3 and 5, one of two at
# 4 and 7
COLOUR, SIZE = (0, 3, 5), (4, 7)


def categorical(n: int = 60, seed: int = 0) -> Dataset:
    """Return a table with two categories whose dummies are not next to each other.

    The baseline has no colour and the small size: dummies that are all 0, and another category.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 8, generator=generator)
    for group in (COLOUR, SIZE):
        category = torch.randint(len(group), (n,), generator=generator)
        x[:, list(group)] = torch.nn.functional.one_hot(category, len(group)).float()

    baseline = torch.zeros(8)
    baseline[SIZE[0]] = 1
    n_train = 2 * n // 3
    y = (x[:, 1] > 0).long()
    train, test = split(x[:n_train], y[:n_train]), split(x[n_train:], y[n_train:], first=n_train)
    data = dataset(train, test, classes=2, baseline=baseline)
    return dataclasses.replace(data, groups=(COLOUR, SIZE))

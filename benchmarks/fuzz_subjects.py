"""The subjects of `fuzz`: a random network, samples, targets, training data and a baseline."""

from __future__ import annotations

from dataclasses import dataclass

import fuzz_build
import fuzz_relevance
import fuzz_twins
import torch
from fuzz_draw import draw
from fuzz_ops import Description
from torch import Tensor

from gpex_bench.types import Dataset, Model, Query, Split, Task

N_ROWS, N_TRAIN = 3, 12


@dataclass(frozen=True)
class Subject:
    """A network with what it is asked about."""

    description: Description
    network: Model
    data: Dataset
    query: Query
    units: fuzz_relevance.Units = fuzz_relevance.dense  # how the twin of LRP takes layers apart

    def again(self, dtype: torch.dtype) -> Model:
        """Return the network once more, in a precision."""
        return built(self.description, dtype)

    def plain(self, dtype: torch.dtype, keeps_weights: bool = False) -> Model | None:
        """Return the network in its plainest form, if there is one."""
        return built(fuzz_build.plain(self.description, keeps_weights), dtype)

    def task(self, network: Model, dtype: torch.dtype, is_one_row: bool = False) -> Task:
        """Return the task with a network, in a precision.

        Args:
            network: the network.
            dtype: the precision.
            is_one_row: all training samples are the first one, so that any draw is that one.
        """
        data = self.data
        rows = data.train.x[:1].expand_as(data.train.x) if is_one_row else data.train.x
        split = Split(x=rows.to(dtype), y=data.train.y, sample=data.train.sample)
        data = Dataset(
            name=data.name,
            train=split,
            test=split,
            classes=data.classes,
            features=data.features,
            baseline=data.baseline.to(dtype),
        )
        return Task(model=network, data=data, surrogate=None, seed=1)

    def asked(self, dtype: torch.dtype) -> Query:
        """Return the query in a precision."""
        query = self.query
        return Query(x=query.x.to(dtype), target=query.target, sample=query.sample)

    def inputs(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Return samples, targets and baseline in a precision."""
        return self.query.x.to(dtype), self.query.target, self.data.baseline.to(dtype)


def built(description: Description, dtype: torch.dtype) -> Model:
    """Return a network in a precision; weights are re-parametrised in it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return fuzz_build.build(description).to(dtype)
    finally:
        torch.set_default_dtype(before)


def subject(seed: int, number: int) -> Subject:
    """Return a network with samples, targets, training data and a baseline.

    A network that is constant is drawn once more.
    """
    description = draw(seed, number)
    while _is_constant(description):
        number += 10**6
        description = draw(seed, number)
    numbers = torch.Generator().manual_seed(1000 * seed + number)
    shape = description.ops[0].shape
    x = torch.randn(N_ROWS, *shape, generator=numbers)
    n_heads = description.ops[-1].shape[0]

    train = torch.randn(N_TRAIN, *shape, generator=numbers)
    label = torch.arange(N_TRAIN) % n_heads
    split = Split(x=train, y=label, sample=torch.arange(N_TRAIN))
    is_table = len(shape) == 1
    data = Dataset(
        name="fuzz",
        train=split,
        test=split,
        classes=tuple("abcd"[:n_heads]),
        features=tuple(f"c{column}" for column in range(shape[0])) if is_table else (),
        baseline=0.3 * torch.randn(shape, generator=numbers),
    )
    target = torch.randint(n_heads, (N_ROWS,), generator=numbers)
    query = Query(x=x, target=target, sample=torch.arange(N_ROWS))
    description = _differentiable(description, x)
    return Subject(description, fuzz_build.build(description), data, query)


def _is_constant(description: Description) -> bool:
    numbers = torch.Generator().manual_seed(0)
    shape = description.ops[0].shape
    x = torch.randn(N_ROWS, *shape, generator=numbers, dtype=torch.float64)
    head = torch.zeros(N_ROWS, dtype=torch.int64)
    return bool(fuzz_twins.gradient(description, x, head).abs().max() < 1e-6)


def _differentiable(description: Description, x: Tensor) -> Description:
    """Return the description, without changes in place where autograd refuses the network."""
    network = fuzz_build.build(description)
    x = x.clone().requires_grad_()
    try:
        torch.autograd.grad(network(x).sum(), x)
    except RuntimeError:
        return fuzz_build.without_changes_in_place(description)
    return description
